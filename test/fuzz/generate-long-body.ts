import type { Random } from "../simulation/random.ts";
import { damaged, encode, resource } from "./generate-body.ts";
import { type Members, raw, text, write } from "./json-text.ts";
import { POOL } from "./pool.ts";

const KIB = 1024;
/** The chunk in which the Worker scans a body … */
const CHUNK_BYTES = 64 * KIB;
/** … and the one for a longer resource. */
const LONG_CHUNK_BYTES = 1024 * KIB;
/** The longest path or mode that may match, as JSON with its quotes. */
const TEXT_MAX_BYTES = 256 * KIB;

/** In turn, so that none is missing. */
const KINDS = ["chunk", "within", "beyond", "long chunk", "many", "blanks", "damaged"] as const;
type Kind = (typeof KINDS)[number];

/** Plain characters, characters of several bytes, escapes that are not needed, and escapes that are. */
const CHARACTERS = ["x", "é", "語", "😀", "\\u0078", "\\u00e9", "\\/", "\\u0001", '\\"', "\\ud83d"];
const DIGITS = ["7", "0", "\\u0037"];
const PLAIN = { blank: 0, escape: 0 };

const writtenBytes = (json: string) => encode(json).length;
const jsonBytes = (json: string) => encode(JSON.stringify(JSON.parse(json))).length;

/**
 * A body with a string or blanks about as long as a chunk, or as the longest path that may match. They are slow, so only one
 * request in many has one.
 *
 * @param turn counts these bodies
 */
export function generateLongBody(random: Random, turn: number): Uint8Array<ArrayBuffer> {
  const kind = KINDS[turn % KINDS.length] as Kind;
  if (kind === "many") return encode(bodyText(random, many(random)));
  if (kind === "blanks") return encode(withBlanks(random));
  if (kind !== "damaged") return encode(bodyText(random, few(random, kind)));
  return damaged(random, encode(bodyText(random, few(random, random.pick(["chunk", "within"])))));
}

function bodyText(random: Random, resources: Members[]): string {
  return write(random, { members: [["resources", resources]] }, PLAIN);
}

/** A resource with a long string, among others. */
function few(random: Random, kind: Kind): Members[] {
  const one = random.chance(0.8) ? matching(random) : resource(random);
  const name = random.chance(0.2) ? "mode" : "path";
  const long = withText(random, one, name, longText(random, name, kind));
  const others = Array.from({ length: random.integer(0, 3) }, () => resource(random));
  // The same content again: a string that is too long excludes it here too.
  if (random.chance(0.5)) others.push(one);
  return random.shuffled([random.chance(0.3) ? withUnknownMember(long) : long, ...others]);
}

/** A resource that matches in most configurations, unless its string is too long. */
function matching(random: Random): Members {
  const [sha1, size] = random.pick([...POOL].filter(([, bytes]) => bytes >= 36 && bytes <= 70_000));
  const checksum: Members = { members: [["value", text(sha1)]] };
  return {
    members: [
      ["checksum", checksum],
      ["size_in_bytes", raw(String(size))],
    ],
  };
}

function longText(random: Random, name: "path" | "mode", kind: Kind): string {
  const character = random.pick(name === "mode" ? DIGITS : CHARACTERS);
  const filling = name === "mode" ? "7" : "x";
  switch (kind) {
    case "within":
      return textOf(character, filling, jsonBytes, TEXT_MAX_BYTES - random.pick([0, 0, 0, 1, 2, 3]));
    case "beyond":
      return textOf(character, filling, jsonBytes, TEXT_MAX_BYTES + random.pick([1, 1, 1, 2, 3]));
    case "long chunk": {
      // A string of this length may match only if it has escapes that are not needed.
      const needless = name === "mode" ? "\\u0037" : "\\u0078";
      const unit = random.chance(0.7) ? needless : character;
      return textOf(unit, filling, writtenBytes, endOf(random, LONG_CHUNK_BYTES));
    }
    default:
      return textOf(character, filling, writtenBytes, endOf(random, CHUNK_BYTES));
  }
}

/** At the end of a chunk, or so far before it that the rest of the resource is in the next one. */
function endOf(random: Random, bytes: number): number {
  return bytes + (random.chance(0.5) ? random.integer(-6, 6) : random.integer(-250, 0));
}

/**
 * A string of one repeated character, filled up to the exact length.
 *
 * @param measure counts bytes, quotes included
 */
function textOf(
  character: string,
  filling: string,
  measure: (json: string) => number,
  bytes: number,
): string {
  const each = measure(`"${character}"`) - 2;
  const count = Math.floor((bytes - 2) / each);
  return `"${character.repeat(count)}${filling.repeat(bytes - 2 - each * count)}"`;
}

function withText(random: Random, { members }: Members, name: string, json: string): Members {
  const others = members.filter(([other]) => other !== name);
  const at = random.integer(0, others.length);
  return { members: [...others.slice(0, at), [name, raw(json)], ...others.slice(at)] };
}

const withUnknownMember = ({ members }: Members): Members => ({ members: [...members, ["x", text("")]] });

/** More than 1 MiB of paths of a few KiB, not in canonical form. */
function many(random: Random): Members[] {
  const end = LONG_CHUNK_BYTES + random.integer(0, 200 * KIB);
  const resources: Members[] = [];
  for (let bytes = 0; bytes < end; ) {
    const length = random.integer(2 * KIB, 12 * KIB);
    const path = textOf(random.pick(CHARACTERS), "x", writtenBytes, length);
    resources.push(withText(random, resource(random), "path", path));
    bytes += length;
  }
  const at = random.integer(0, resources.length - 1);
  return resources.map((each, index) => (index === at ? withUnknownMember(each) : each));
}

/** A chunk of blanks or more before, in or after a resource. */
function withBlanks(random: Random): string {
  const resources = Array.from({ length: random.integer(1, 4) }, () =>
    write(random, resource(random), PLAIN),
  );
  const at = random.integer(0, resources.length - 1);
  const bytes = endOf(random, random.pick([CHUNK_BYTES, CHUNK_BYTES, 2 * CHUNK_BYTES, LONG_CHUNK_BYTES]));
  const blanks = random.pick([" ", "\n", "\t", "\r"]).repeat(bytes);
  const one = resources[at] as string;
  const place = random.pick([0, 1, one.length - 1, one.length]);
  resources[at] = one.slice(0, place) + blanks + one.slice(place);
  return `{"resources":[${resources.join(",")}]}`;
}

/** Traits of long bodies, computed from their bytes. A damaged body may have any. */
export const LONG_TRAITS = [
  "a string that ends with a chunk",
  "a string that ends with a long chunk",
  "a string of the most bytes that may match",
  "a string that is slightly too long to match",
  "many strings, more than a long chunk, not in canonical form",
  "blanks as long as a chunk",
];

/** The traits of a body. */
export function longTraitsOf(body: Uint8Array, isUsual: boolean): string[] {
  if (body.length < CHUNK_BYTES - KIB) return [];
  const json = new TextDecoder().decode(body);
  const texts = (json.match(/"[^"\\]*(?:\\.[^"\\]*)*"/gs) ?? []).filter((each) => each.length > 4 * KIB);
  const isBetween = (least: number, most: number, measure: (json: string) => number) =>
    texts.some((each) => measure(each) >= least && measure(each) <= most);
  const has = [
    isBetween(CHUNK_BYTES - 250, CHUNK_BYTES + 6, writtenBytes),
    isBetween(LONG_CHUNK_BYTES - 250, LONG_CHUNK_BYTES + 6, writtenBytes),
    isBetween(TEXT_MAX_BYTES - 3, TEXT_MAX_BYTES, jsonBytes),
    isBetween(TEXT_MAX_BYTES + 1, TEXT_MAX_BYTES + 3, jsonBytes),
    texts.length > 20 && body.length > LONG_CHUNK_BYTES && !isUsual,
    /[ \n\t\r]{65000}/.test(json),
  ];
  return LONG_TRAITS.filter((_, index) => has[index]);
}
