import type { Random } from "../simulation/random.ts";
import {
  INVALID_OR_ODD_VALUES,
  type Members,
  NUMBERS,
  oddText,
  raw,
  type Tree,
  text,
  write,
} from "./json-text.ts";
import { POOL } from "./pool.ts";

const PRESENT = [...POOL];
// biome-ignore format: one item per line is hard to read
const MODES = [
  "644", "0644", "755", "100644", "444", "0", "00", "600", "0600", "4711", "7777", "177", "577",
  "7".repeat(22), "1".repeat(40), "0".repeat(30), "120777", "00000644", "8", "0o644", "64a", "", " 644",
  "644 ", "-644", "644\n", "６４４",
];
const NAMES = ["checksum", "size_in_bytes", "path", "mode", "value", "resources"];
// biome-ignore format: one item per line is hard to read
const OTHER_NAMES = [
  "Checksum", "size_in_byte", "size_in_bytess", "path\u0000", "MODE", "", "__proto__", "constructor",
  "toString", "sha1", "type", "0", "ſize_in_bytes",
];
const KIB = 1024;
export const BODY_MAX_BYTES = 15 * KIB * KIB;
const NON_CANONICAL_MAX_BYTES = 4 * KIB * KIB;
const NON_CANONICAL_MAX_TOKENS = 100_000;
/** From this many resources on, a body may have 5,000 after a mutation: the decisions of such a request are stored. */
const NEARLY_FULL = 4_900;

export interface Body {
  bytes: Uint8Array<ArrayBuffer>;
  /** Whether it may have 5,000 resources. */
  isNearlyFull: boolean;
}

/** The buffer is not shared, which the type of TextEncoder does not express. */
export const encode = (value: string) => new TextEncoder().encode(value) as Uint8Array<ArrayBuffer>;
const object = (members: Members["members"]): Members => ({ members });

/** A body: from one that cf CLI sends to random bytes. */
export function generateBody(random: Random): Body {
  const kind = random.weighted({ canonical: 30, mutated: 45, damaged: 20, arbitrary: 5, large: 0.1 });
  if (kind === "arbitrary") return { bytes: arbitrary(random), isNearlyFull: false };
  if (kind === "large") return { bytes: large(random), isNearlyFull: true };
  const count = countOf(random);
  const resources = Array.from({ length: count }, () => resource(random));
  let tree: Tree = object([["resources", resources]]);
  if (kind !== "canonical" && random.chance(kind === "mutated" ? 1 : 0.3))
    tree = mutated(random, tree, resources);
  const isPlain = kind === "canonical" && random.chance(0.7);
  const style = isPlain
    ? { blank: 0, escape: 0 }
    : { blank: random.pick([0, 0, 0.1, 0.5]), escape: random.pick([0, 0, 0.05, 0.5]) };
  const bytes = encode(write(random, tree, style));
  return { bytes: kind === "damaged" ? damaged(random, bytes) : bytes, isNearlyFull: count >= NEARLY_FULL };
}

function countOf(random: Random): number {
  const kind = random.weighted({ few: 300, none: 6, some: 14, full: 0.3, over: 0.3 });
  if (kind === "few") return random.integer(1, 5);
  if (kind === "none") return 0;
  if (kind === "some") return random.integer(6, 100);
  return kind === "full" ? random.pick([4_999, 5_000, 5_000]) : random.pick([5_001, 5_001, 5_002, 6_000]);
}

/** A valid resource. */
export function resource(random: Random): Members {
  const [sha1, size] = random.chance(0.75)
    ? random.pick(PRESENT)
    : ([randomSha1(random), random.pick(PRESENT)[1]] as const);
  const members: Members["members"] = [
    ["checksum", object([["value", text(inCase(random, sha1))]])],
    ["size_in_bytes", sizeOf(random, size)],
  ];
  if (random.chance(0.8)) members.push(["path", random.chance(0.06) ? raw("null") : text(pathOf(random))]);
  if (random.chance(0.8)) members.push(["mode", random.chance(0.06) ? raw("null") : text(modeOf(random))]);
  return object(random.chance(0.2) ? random.shuffled(members) : members);
}

function randomSha1(random: Random): string {
  return Array.from({ length: 40 }, () => random.integer(0, 15).toString(16)).join("");
}

function inCase(random: Random, sha1: string): string {
  const kind = random.weighted({ lower: 6, upper: 1, mixed: 1 });
  if (kind === "lower") return sha1;
  if (kind === "upper") return sha1.toUpperCase();
  return sha1.replace(/[a-f]/g, (digit) => (random.chance(0.5) ? digit.toUpperCase() : digit));
}

function sizeOf(random: Random, size: number): Tree {
  const kind = random.weighted({ own: 40, other: 2, adjacent: 2, form: 1 });
  if (kind === "own") return raw(String(size));
  if (kind === "other") return raw(String(random.pick(PRESENT)[1]));
  if (kind === "adjacent") return raw(String(size + 1));
  return raw(random.pick([`${size}.0`, `${size}e0`, `${size}0e-1`, `${size}.00E+0`]));
}

function pathOf(random: Random): string {
  return random.chance(0.7) ? `node_modules/lodash/${random.integer(0, 999)}.js` : oddText(random);
}

function modeOf(random: Random): string {
  return random.chance(0.85) ? random.pick(MODES.slice(0, 12)) : random.pick(MODES.slice(0, 17));
}

/** Changes one member, or a few. */
function mutated(random: Random, tree: Members, resources: Tree[]): Tree {
  const kind = random.weighted({ resource: 20, resources: 2, top: 1, names: 1 });
  const odd = () => oddTree(random);
  if (kind === "top")
    return random.pick<() => Tree>([odd, () => [tree], () => resources, () => object([])])();
  if (kind === "resources") {
    const other = random.chance(0.5) ? odd() : object(resources.map((each, index) => [String(index), each]));
    return object(random.shuffled([...(random.chance(0.5) ? tree.members : []), ["resources", other]]));
  }
  if (kind === "names") return object(random.shuffled([...tree.members, [nameOf(random), odd()]]));
  const times = random.integer(1, 3);
  for (let time = 0; time < times && resources.length > 0; time++) {
    const at = random.integer(0, resources.length - 1);
    const one = resources[at] as Tree;
    resources[at] = "members" in one && random.chance(0.93) ? mutatedResource(random, one) : odd();
  }
  return tree;
}

function mutatedResource(random: Random, { members }: Members): Tree {
  const at = random.integer(0, Math.max(0, members.length - 1));
  const [name = "", value = raw("1")] = members[at] ?? [];
  const others = members.filter((_, index) => index !== at);
  const put = (...instead: Members["members"]) =>
    object([...others.slice(0, at), ...instead, ...others.slice(at)]);
  const other = () => otherValue(random, name);
  switch (random.weighted({ value: 8, drop: 2, rename: 1, twice: 3, add: 2, inner: 3 })) {
    case "value":
      return put([name, other()]);
    case "drop":
      return put();
    case "rename":
      return put([random.pick(OTHER_NAMES), value]);
    case "twice":
      return object(random.shuffled([...members, [name, random.chance(0.5) ? value : other()]]));
    case "add":
      return object(random.shuffled([...members, [nameOf(random), oddTree(random)]]));
    default: {
      const inner: Members["members"] = "members" in value ? value.members : [];
      const extra: Members["members"][number] = [nameOf(random), oddTree(random)];
      return put([name, object(random.shuffled([...(random.chance(0.8) ? inner : []), extra]))]);
    }
  }
}

/** Another value for a member, mostly of nearly the right kind. */
function otherValue(random: Random, name: string): Tree {
  if (random.chance(0.3)) return oddTree(random);
  if (name === "size_in_bytes") return raw(random.pick(NUMBERS));
  if (name === "mode") return text(random.pick(MODES));
  if (name === "path") return text(oddText(random));
  return object([["value", random.chance(0.7) ? text(nearlySha1(random)) : oddTree(random)]]);
}

function nearlySha1(random: Random): string {
  const [sha1] = random.pick(PRESENT);
  return random.pick([
    sha1.slice(1),
    `${sha1}0`,
    `${sha1.slice(1)}g`,
    `${sha1.slice(1)} `,
    `${sha1.slice(2)}\ud83d\ude00`,
    `${sha1.slice(1)}\ud83d\ude00`,
    `${sha1.slice(1)}\ud83d`,
    `${sha1.slice(1)}é`,
    `${sha1.slice(1)}\n`,
    `${sha1.slice(1)}\u0000`,
    "",
    "z".repeat(40),
    "\u0130".repeat(40),
    "\u212a".repeat(40),
  ]);
}

const nameOf = (random: Random) => random.pick([...NAMES, ...OTHER_NAMES]);

function oddTree(random: Random): Tree {
  if (random.chance(0.03)) return raw(nested(random, random.integer(1, 3_000)));
  if (random.chance(0.15)) return resource(random);
  return random.chance(0.7) ? raw(random.pick(INVALID_OR_ODD_VALUES)) : text(oddText(random));
}

function nested(random: Random, depth: number): string {
  const [open, close, inner] = random.pick([
    ["[", "]", ""],
    ['{"a":', "}", "1"],
    ['{"resources":[', "]}", ""],
  ]) as [string, string, string];
  const closed = random.chance(0.8) ? depth : depth - 1;
  return open.repeat(depth) + inner + close.repeat(closed);
}

// biome-ignore format: one item per line is hard to read
const SEQUENCES = [
  [0xef, 0xbb, 0xbf], [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xed, 0xa0, 0x80], [0xed, 0x9f, 0xbf],
  [0xf4, 0x90, 0x80, 0x80], [0xf4, 0x8f, 0xbf, 0xbf], [0xf5], [0xe2, 0x82], [0xe0, 0x9f, 0xbf], [0xff, 0xfe],
  [0xf0, 0x8f, 0xbf, 0xbf], [0xf0, 0x9f, 0x98, 0x80], [0xc3], [0xfe], [0x00], [0xc2, 0x85], [0xc2, 0xa0],
  [0x2c], [0x5d], [0x7d], [0x5b], [0x7b], [0x22], [0x5c], [0x3a], [0x20], [0x0a], [0x30], [0x2d], [0x65],
];

/** Inserts, replaces, deletes or repeats a few bytes. */
export function damaged(random: Random, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  let damaged = Uint8Array.from(bytes);
  const times = random.weighted({ 1: 6, 2: 2, 4: 1 });
  for (let time = 0; time < Number(times); time++) {
    const at = random.integer(0, random.chance(0.1) ? 0 : damaged.length);
    const end = Math.min(damaged.length, at + random.pick([1, 1, 1, 2, 8, 60]));
    const [before, part, after] = [damaged.subarray(0, at), damaged.subarray(at, end), damaged.subarray(end)];
    const inserted = Uint8Array.from(random.chance(0.7) ? random.pick(SEQUENCES) : [random.integer(0, 255)]);
    switch (random.weighted({ insert: 4, replace: 3, delete: 3, twice: 1, cut: 1, behind: 1 })) {
      case "insert":
        damaged = joined(before, inserted, part, after);
        break;
      case "replace":
        damaged = joined(before, inserted, after);
        break;
      case "delete":
        damaged = joined(before, after);
        break;
      case "twice":
        damaged = joined(before, part, part, after);
        break;
      case "cut":
        damaged = joined(before);
        break;
      default:
        damaged = joined(damaged, encode(random.pick(INVALID_OR_ODD_VALUES)));
    }
  }
  return damaged;
}

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

// biome-ignore format: one item per line is hard to read
const TOKENS = [
  "{", "}", "[", "]", ",", ":", '"resources"', '"checksum"', '"value"', '"size_in_bytes"', '"path"', '"a"',
  "null", "true", "36", "-1", "1.5", " ", "\n", '"', "\\", "\u0000", "\ufeff", "é",
];

function arbitrary(random: Random): Uint8Array<ArrayBuffer> {
  switch (random.weighted({ bytes: 3, tokens: 4, odd: 2, empty: 1, blank: 1, deep: 0.1 })) {
    case "bytes":
      return Uint8Array.from({ length: random.integer(1, 200) }, () => random.integer(0, 255));
    case "tokens":
      return encode(Array.from({ length: random.integer(1, 40) }, () => random.pick(TOKENS)).join(""));
    case "odd":
      return encode(write(random, oddTree(random), { blank: 0.2, escape: 0 }));
    case "empty":
      return new Uint8Array();
    case "blank":
      return encode(random.pick([" ", "\n", "\ufeff", "\ufeff{}", "\u00a0", "\u0000", "\f"]));
    default:
      return encode(nested(random, random.integer(3_000, 200_000)));
  }
}

/** About as large as a body may be, or a body that is not in canonical form. */
function large(random: Random): Uint8Array<ArrayBuffer> {
  switch (random.weighted({ padded: 2, tokens: 3, paths: 2 })) {
    case "padded":
      return padded(random);
    case "tokens":
      return withManyTokens(random);
    default:
      return withLongPaths(random);
  }
}

function smallText(random: Random): string {
  const few = Array.from({ length: random.integer(1, 4) }, () => resource(random));
  const tree = random.chance(0.5)
    ? object([["resources", few]])
    : mutated(random, object([["resources", few]]), few);
  return write(random, tree, { blank: random.pick([0, 0.2]), escape: random.pick([0, 0.2]) });
}

function padded(random: Random): Uint8Array<ArrayBuffer> {
  const limit = random.pick([BODY_MAX_BYTES, NON_CANONICAL_MAX_BYTES]);
  const bytes = new Uint8Array(limit + random.pick([-1, 0, 0, 1, 2, 100_000])).fill(0x20);
  bytes.set(encode(smallText(random)).subarray(0, bytes.length));
  return bytes;
}

function withManyTokens(random: Random): Uint8Array<ArrayBuffer> {
  const small = smallText(random);
  const unit = random.pick(["1,", "[],", '{"a":1},', '"x",', "null,", "{},"]);
  const tokensOf = (text: string) => text.match(/[,[{]/g)?.length ?? 0;
  const count = (NON_CANONICAL_MAX_TOKENS - tokensOf(small) - 2) / tokensOf(unit) + random.integer(-1, 1);
  const padding = `[${unit.repeat(count)}1]`;
  const place = small.indexOf("{") + 1;
  const name = random.pick(['"padding"', '"resources"', '"\\u0070adding"']);
  const [before, after] = [small.slice(0, place), small.slice(place)];
  const bytes = encode(random.chance(0.5) ? `${before}${name}:${padding},${after}` : `[${small},${padding}]`);
  return random.chance(0.2) ? damaged(random, bytes) : bytes;
}

/** More than 4 MiB in canonical form, or not. */
function withLongPaths(random: Random): Uint8Array<ArrayBuffer> {
  const path = JSON.stringify(oddText(random)).slice(1, -1) + "a,[{b".repeat(random.integer(200, 500));
  const unit = `{"path":"${path}",${write(random, resourceWithoutPath(random), { blank: 0, escape: 0 }).slice(1)}`;
  const count = Math.min(5_001, Math.floor(random.integer(4, 15) * KIB * KIB) / encode(unit).length);
  const units = Array.from({ length: count }, () => unit);
  if (random.chance(0.5)) units[random.integer(0, units.length - 1)] = unit.replace("{", '{"x":0,');
  return encode(`{"resources":[${units.join(",")}]}`);
}

function resourceWithoutPath(random: Random): Members {
  return object(resource(random).members.filter(([name]) => name !== "path"));
}
