import { TEXT_MAX_BYTES } from "../bytes/workspace.ts";
import { Failure } from "../failure.ts";
import { isUtf8 } from "../http/body.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { isSha1Hex } from "../resources/sha1.ts";
import { type CanonicalRequest, CanonicalText } from "./canonical-text.ts";
import { ARRAY, JsonScanner, OBJECT } from "./json-scanner.ts";
import { COMMA, QUOTE } from "./json-tokens.ts";
import { Violations } from "./request.ts";
import { CHARACTER_MAX_BYTES, isTooLong } from "./text-limit.ts";

/** More bytes than 5,000 resources usually have: read as JSON, it would be held five times at once. */
const LARGE_BYTES = 1024 * 1024;
/**
 * 5,000 resources have 35,000 commas and opening brackets. JSON.parse may build a hundred bytes of each, and the 15 million
 * for which a body has room are more than an isolate may hold.
 */
const STRUCTURE_MAX = 100_000;
/** One more than may be, so that it shows. */
const CHECKED_MAX = RESOURCES_PER_REQUEST_MAX + 1;
const MEMBERS = ["checksum", "size_in_bytes", "mode", "path"];
const CHECKSUM_MEMBERS = ["value"];

/** Where the value of a member stands in the body. */
interface Member {
  start: number;
  end: number;
  /** Of a checksum that is an object. */
  members: Members | undefined;
}

/** Those that are looked at, by name; the last of each. */
type Members = Map<string, Member>;

/** Whether a body has more in it than may be built as a whole. */
export function isLarge(body: Uint8Array): boolean {
  if (body.length > LARGE_BYTES) return true;
  if (body.length <= STRUCTURE_MAX) return false;
  let count = 0;
  for (let at = 0; at < body.length && count <= STRUCTURE_MAX; at++) {
    const byte = body[at];
    if (byte === COMMA || byte === ARRAY || byte === OBJECT) count += 1;
  }
  return count > STRUCTURE_MAX;
}

/**
 * Reads a request as JSON.parse and the schema would, resource by resource: nothing is built of it but what the schema
 * looks at in one of them, without its path. The first 5,001 are looked at.
 *
 * One answer differs: an object in the array's place has as many entries here as it has names, of which JSON.parse
 * would count equal ones once. It is refused by the same status, and as no array.
 *
 * @param body which is used up
 * @returns a failure for what is no JSON, or not as the schema has it
 */
export function readLarge(body: Uint8Array): CanonicalRequest | Failure {
  if (!isUtf8(body)) return new Failure({ kind: "parse-error", reason: "the body is not UTF-8" });
  try {
    return new LargeRequest(body).read();
  } catch (error) {
    if (error instanceof SyntaxError) return new Failure({ kind: "parse-error", reason: error.message });
    throw error;
  }
}

/** Reads a body, and has what is kept of it written behind where it reads. */
class LargeRequest {
  readonly #body: Uint8Array;
  readonly #scanner: JsonScanner;
  #violations = new Violations();
  readonly #usual: CanonicalText;
  #count = 0;
  #tooLong: string[] = [];

  constructor(body: Uint8Array) {
    this.#body = body;
    this.#usual = new CanonicalText(body);
    this.#scanner = new JsonScanner(body);
  }

  read(): CanonicalRequest | Failure {
    const scanner = this.#scanner;
    this.#violations.checkList(undefined);
    if (scanner.peek() !== OBJECT) scanner.value();
    else {
      this.#eachMember(() => {
        if (!scanner.isNamed("resources")) return scanner.value();
        // The last of the name counts.
        this.#violations = new Violations();
        this.#usual.clear();
        this.#count = 0;
        this.#tooLong = [];
        this.#violations.checkList(this.#resources());
      });
    }
    scanner.end();
    const failure = this.#violations.failure();
    if (failure) return failure;
    return { count: this.#count, text: this.#usual.finished(), tooLong: this.#tooLong };
  }

  /** Reads the list. @returns something of the same kind and length */
  #resources(): unknown {
    const scanner = this.#scanner;
    const first = scanner.peek();
    if (first === OBJECT) {
      let count = 0;
      this.#eachMember(() => {
        count += 1;
        scanner.value();
      });
      return Object.fromEntries(Array.from({ length: Math.min(count, CHECKED_MAX) }, (_, name) => [name, 0]));
    }
    if (first !== ARRAY) return this.#valueOf(this.#member());
    let count = 0;
    for (let more = scanner.open(ARRAY); more; more = scanner.more(ARRAY)) {
      count += 1;
      if (count > CHECKED_MAX) {
        scanner.restOfArray();
        break;
      }
      this.#resource();
    }
    return Array.from({ length: count });
  }

  #resource(): void {
    if (this.#scanner.peek() !== OBJECT) {
      this.#scanner.value();
      this.#violations.checkResource(0);
      return;
    }
    const { path, ...members } = Object.fromEntries(this.#members(MEMBERS));
    const isText = path !== undefined && this.#body[path.start] === QUOTE;
    const resource = {
      ...this.#valuesOf(Object.entries(members)),
      path: isText ? "" : this.#valueOf(path),
    };
    if (!this.#violations.checkResource(resource) || !isSha1Hex(resource.checksum.value)) return;
    this.#count += 1;
    const pathText = isText ? this.#pathText(path) : new Uint8Array();
    if (!pathText || isTooLong(resource)) this.#tooLong.push(resource.checksum.value);
    else this.#usual.add(resource, pathText, { path: path?.start, end: this.#scanner.at });
  }

  /** A path as JSON, no longer than it may be; undefined where it is. */
  #pathText({ start, end }: Member): Uint8Array | undefined {
    const text = this.#body.subarray(start, end);
    if (text.length <= TEXT_MAX_BYTES) return text;
    // Escapes that need not be are six bytes for one.
    if (text.length > CHARACTER_MAX_BYTES * TEXT_MAX_BYTES) return undefined;
    const path = JSON.parse(new TextDecoder().decode(text));
    return isTooLong({ path }) ? undefined : new TextEncoder().encode(JSON.stringify(path));
  }

  #members(names: readonly string[]): Members {
    const scanner = this.#scanner;
    const members: Members = new Map();
    this.#eachMember(() => {
      const name = names.find((each) => scanner.isNamed(each));
      if (name === undefined) return scanner.value();
      members.set(name, this.#member(name));
    });
    return members;
  }

  #member(name?: string): Member {
    const scanner = this.#scanner;
    const isObject = scanner.peek() === OBJECT;
    const start = scanner.at;
    const members = isObject && name === "checksum" ? this.#members(CHECKSUM_MEMBERS) : undefined;
    if (!members) scanner.value();
    return { start, end: scanner.at, members };
  }

  #valuesOf(members: Iterable<[string, Member]>): Record<string, unknown> {
    return Object.fromEntries(Array.from(members, ([name, member]) => [name, this.#valueOf(member)]));
  }

  /** What the schema is shown of a value: of an array or an object, for which it never looks, that it is one. */
  #valueOf(member: Member | undefined): unknown {
    if (!member) return undefined;
    if (member.members) return this.#valuesOf(member.members);
    const first = this.#body[member.start];
    if (first === ARRAY || first === OBJECT) return [];
    return JSON.parse(new TextDecoder().decode(this.#body.subarray(member.start, member.end)));
  }

  #eachMember(pass: () => void): void {
    const scanner = this.#scanner;
    for (let more = scanner.open(OBJECT); more; more = scanner.more(OBJECT)) {
      scanner.name();
      pass();
    }
  }
}
