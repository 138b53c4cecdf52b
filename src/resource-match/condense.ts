import { Failure } from "../failure.ts";
import { ARRAY, JsonScanner, OBJECT } from "../json-scanner.ts";
import { RESOURCES_PER_REQUEST_MAX } from "../platform-limits.ts";
import { isUtf8 } from "../received-body.ts";

/**
 * 5,000 resources have 35,000 commas and opening brackets. JSON.parse may build a hundred bytes of each, and the 15 million
 * for which a body has room are more than an isolate may hold.
 */
const STRUCTURE_MAX = 100_000;
const COMMA = 0x2c;

/** One more than may be, so that it shows. */
const KEPT_MAX = RESOURCES_PER_REQUEST_MAX + 1;
const MEMBERS = ["checksum", "size_in_bytes", "mode", "path"];

const CHECKSUM_MEMBERS = ["value"];

/** A member that has a say, and where the text of its value stands in the body. */
interface Member {
  name: string;
  start: number;
  end: number;
  /** Of an array or an object it only counts that it is one. */
  isNested: boolean;
  /** Of a checksum that is an object. */
  members: Members | undefined;
}

/** As they stand in the object, the last of each name; a place for each name, for there may be millions. */
type Members = (Member | undefined)[];

/**
 * A body that JSON.parse may be given, and of which the answer is the same. Nearly every body is that already. Of one with
 * more to build than an isolate may hold, only what has a say is kept, in the same bytes: the first 5,001 resources,
 * of each the members that are looked at, and of these no arrays or objects.
 *
 * One answer differs: an object in the array's place has as many entries here as it has names, of which JSON.parse
 * would count equal ones once. It is refused by the same status, and as no array.
 *
 * @param body which is used up
 * @returns a failure for what is no JSON
 */
export function condense(body: Uint8Array): Uint8Array | Failure {
  if (!isMuch(body)) return body;
  if (!isUtf8(body)) return new Failure("parse-error", "the body is not UTF-8");
  try {
    return new Condenser(body).condense();
  } catch (error) {
    if (error instanceof SyntaxError) return new Failure("parse-error", error.message);
    throw error;
  }
}

function isMuch(body: Uint8Array): boolean {
  if (body.length <= STRUCTURE_MAX) return false;
  let count = 0;
  for (let at = 0; at < body.length && count <= STRUCTURE_MAX; at++) {
    const byte = body[at];
    if (byte === COMMA || byte === ARRAY || byte === OBJECT) count += 1;
  }
  return count > STRUCTURE_MAX;
}

/** Reads a body and writes it anew behind where it reads: what is kept is never longer than what it stands for. */
class Condenser {
  readonly #body: Uint8Array;
  readonly #scanner: JsonScanner;
  #length = 0;

  constructor(body: Uint8Array) {
    this.#body = body;
    this.#scanner = new JsonScanner(body);
  }

  condense(): Uint8Array {
    const scanner = this.#scanner;
    if (scanner.peek() !== OBJECT) scanner.value();
    else {
      this.#eachMember(() => {
        if (!scanner.isNamed("resources")) return scanner.value();
        // The last of the name counts.
        this.#length = 0;
        this.#write('{"resources":');
        this.#resources();
      });
    }
    scanner.end();
    this.#write(this.#length === 0 ? "{}" : "}");
    return this.#body.subarray(0, this.#length);
  }

  #resources(): void {
    const scanner = this.#scanner;
    const first = scanner.peek();
    if (first === OBJECT) return void this.#noArray();
    if (first !== ARRAY) return void this.#copy(scanner.at, this.#passed());
    this.#write("[");
    let count = 0;
    for (let more = scanner.open(ARRAY); more; more = scanner.more(ARRAY)) {
      count += 1;
      if (count > KEPT_MAX) {
        scanner.restOfArray();
        break;
      }
      if (count > 1) this.#write(",");
      this.#resource();
    }
    this.#write("]");
  }

  /** An object, of which the number of members is told by something as long. */
  #noArray(): void {
    let count = 0;
    this.#eachMember(() => {
      count += 1;
      this.#scanner.value();
    });
    if (count > RESOURCES_PER_REQUEST_MAX) this.#write(`"${"x".repeat(KEPT_MAX)}"`);
    else this.#write(count > 0 ? '{"":0}' : "{}");
  }

  #resource(): void {
    if (this.#scanner.peek() !== OBJECT) {
      this.#scanner.value();
      this.#write("0");
      return;
    }
    this.#writeMembers(this.#members(MEMBERS));
  }

  #members(names: readonly string[]): Members {
    const scanner = this.#scanner;
    const members: Members = names.map(() => undefined);
    this.#eachMember(() => {
      const index = names.findIndex((name) => scanner.isNamed(name));
      if (index < 0) return scanner.value();
      const name = names[index] as string;
      const bracket = scanner.peek();
      const start = scanner.at;
      const inner = name === "checksum" && bracket === OBJECT ? this.#members(CHECKSUM_MEMBERS) : undefined;
      const end = inner ? scanner.at : this.#passed();
      members[index] = {
        name,
        start,
        end,
        isNested: bracket === ARRAY || bracket === OBJECT,
        members: inner,
      };
    });
    return members;
  }

  #writeMembers(members: Members): void {
    let before = "{";
    // In the order in which they stand, so that nothing is written over that is still to be copied.
    for (const member of members.filter((each) => each !== undefined).sort((a, b) => a.start - b.start)) {
      this.#write(`${before}"${member.name}":`);
      if (member.members) this.#writeMembers(member.members);
      else if (member.isNested) this.#write("[]");
      else this.#copy(member.start, member.end);
      before = ",";
    }
    this.#write(before === "{" ? "{}" : "}");
  }

  /** Passes a value; returns where it ends. */
  #passed(): number {
    this.#scanner.value();
    return this.#scanner.at;
  }

  #eachMember(pass: () => void): void {
    const scanner = this.#scanner;
    for (let more = scanner.open(OBJECT); more; more = scanner.more(OBJECT)) {
      scanner.name();
      pass();
    }
  }

  #copy(start: number, end: number): void {
    this.#body.copyWithin(this.#length, start, end);
    this.#length += end - start;
  }

  #write(text: string): void {
    for (let index = 0; index < text.length; index++) this.#body[this.#length++] = text.charCodeAt(index);
  }
}
