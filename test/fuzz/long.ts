import type { Random } from "../simulation/random.ts";
import { damaged, encode, resource } from "./bodies.ts";
import { POOL } from "./pool.ts";
import { type Members, raw, text, write } from "./texts.ts";

/**
 * Bodies with a text, or with blanks, about as long as what the Worker reads at a time, or as the longest path that may match:
 * so large that only one request in many has such.
 */

const KIB = 1024;
/** What is read at a time … */
const PIECE_BYTES = 64 * KIB;
/** … and of a resource that is longer. */
const LONG_PIECE_BYTES = 1024 * KIB;
/** Of a path or a mode as JSON, its quotes included. */
const TEXT_MAX_BYTES = 256 * KIB;

/** In turn, for none to be missing. */
const KINDS = ["piece", "within", "beyond", "long piece", "many", "blanks", "damaged"] as const;
type Kind = (typeof KINDS)[number];

/** Characters as they may be written: plain, of several bytes, with escapes that need not be, and with such as must be. */
const CHARACTERS = ["x", "é", "語", "😀", "\\u0078", "\\u00e9", "\\/", "\\u0001", '\\"', "\\ud83d"];
const DIGITS = ["7", "0", "\\u0037"];
const PLAIN = { blank: 0, escape: 0 };

const writtenBytes = (json: string) => encode(json).length;
const jsonBytes = (json: string) => encode(JSON.stringify(JSON.parse(json))).length;

/** @param turn counts such bodies */
export function longBody(random: Random, turn: number): Uint8Array<ArrayBuffer> {
  const kind = KINDS[turn % KINDS.length] as Kind;
  if (kind === "many") return encode(bodyOf(random, many(random)));
  if (kind === "blanks") return encode(withBlanks(random));
  if (kind !== "damaged") return encode(bodyOf(random, few(random, kind)));
  return damaged(random, encode(bodyOf(random, few(random, random.pick(["piece", "within"])))));
}

function bodyOf(random: Random, resources: Members[]): string {
  return write(random, { members: [["resources", resources]] }, PLAIN);
}

/** One resource with a long text, among others. */
function few(random: Random, kind: Kind): Members[] {
  const one = random.chance(0.8) ? matching(random) : resource(random);
  const name = random.chance(0.2) ? "mode" : "path";
  const long = withText(random, one, name, longText(random, name, kind));
  const others = Array.from({ length: random.integer(0, 3) }, () => resource(random));
  // The content a second time: a text that is too long rules it out here as well.
  if (random.chance(0.5)) others.push(one);
  return random.shuffled([random.chance(0.3) ? unusual(long) : long, ...others]);
}

/** Nothing but the length of its text keeps it from matching, in most configurations. */
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
    case "long piece": {
      // Only by escapes that need not be is a text so long, and may match.
      const needless = name === "mode" ? "\\u0037" : "\\u0078";
      const unit = random.chance(0.7) ? needless : character;
      return textOf(unit, filling, writtenBytes, endOf(random, LONG_PIECE_BYTES));
    }
    default:
      return textOf(character, filling, writtenBytes, endOf(random, PIECE_BYTES));
  }
}

/** At a piece's end, or so long before it that what stands beside the text reaches across. */
function endOf(random: Random, bytes: number): number {
  return bytes + (random.chance(0.5) ? random.integer(-6, 6) : random.integer(-250, 0));
}

/**
 * A text of one character, and of what is left over of a filling.
 *
 * @param measure counts its bytes, quotes included
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

const unusual = ({ members }: Members): Members => ({ members: [...members, ["x", text("")]] });

/** More than a mebibyte of paths of some kilobytes, in a form that the Worker has to write anew. */
function many(random: Random): Members[] {
  const end = LONG_PIECE_BYTES + random.integer(0, 200 * KIB);
  const resources: Members[] = [];
  for (let bytes = 0; bytes < end; ) {
    const length = random.integer(2 * KIB, 12 * KIB);
    const path = textOf(random.pick(CHARACTERS), "x", writtenBytes, length);
    resources.push(withText(random, resource(random), "path", path));
    bytes += length;
  }
  const at = random.integer(0, resources.length - 1);
  return resources.map((each, index) => (index === at ? unusual(each) : each));
}

/** A piece of blanks, or more, before a resource, in it or behind it. */
function withBlanks(random: Random): string {
  const resources = Array.from({ length: random.integer(1, 4) }, () =>
    write(random, resource(random), PLAIN),
  );
  const at = random.integer(0, resources.length - 1);
  const bytes = endOf(random, random.pick([PIECE_BYTES, PIECE_BYTES, 2 * PIECE_BYTES, LONG_PIECE_BYTES]));
  const blanks = random.pick([" ", "\n", "\t", "\r"]).repeat(bytes);
  const one = resources[at] as string;
  const place = random.pick([0, 1, one.length - 1, one.length]);
  resources[at] = one.slice(0, place) + blanks + one.slice(place);
  return `{"resources":[${resources.join(",")}]}`;
}

/** The kinds, told from bodies and not from how they were made; all but the damaged one, which may be anything. */
export const LONG_FORMS = [
  "a text that ends where a piece does",
  "a text that ends where a long piece does",
  "a text of the most bytes that may match",
  "a text of some more",
  "many texts, more than a long piece, in an unusual form",
  "blanks as long as a piece",
];

/** Which of them a body has. */
export function longFormsOf(body: Uint8Array, isUsual: boolean): string[] {
  if (body.length < PIECE_BYTES - KIB) return [];
  const json = new TextDecoder().decode(body);
  const texts = (json.match(/"[^"\\]*(?:\\.[^"\\]*)*"/gs) ?? []).filter((each) => each.length > 4 * KIB);
  const isBetween = (least: number, most: number, measure: (json: string) => number) =>
    texts.some((each) => measure(each) >= least && measure(each) <= most);
  const has = [
    isBetween(PIECE_BYTES - 250, PIECE_BYTES + 6, writtenBytes),
    isBetween(LONG_PIECE_BYTES - 250, LONG_PIECE_BYTES + 6, writtenBytes),
    isBetween(TEXT_MAX_BYTES - 3, TEXT_MAX_BYTES, jsonBytes),
    isBetween(TEXT_MAX_BYTES + 1, TEXT_MAX_BYTES + 3, jsonBytes),
    texts.length > 20 && body.length > LONG_PIECE_BYTES && !isUsual,
    /[ \n\t\r]{65000}/.test(json),
  ];
  return LONG_FORMS.filter((_, index) => has[index]);
}
