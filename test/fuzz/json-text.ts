import type { Random } from "../simulation/random.ts";

/** A JSON value as a tree that allows repeated names and any form of numbers. */
export type Tree = { raw: string } | { text: string } | Tree[] | Members;
export interface Members {
  members: [name: string, value: Tree][];
}

export const raw = (text: string): Tree => ({ raw: text });
export const text = (value: string): Tree => ({ text: value });

// biome-ignore format: one item per line is hard to read
export const INVALID_OR_ODD_VALUES = [
  "null", "true", "false", "0", "-1", "1.5", '""', '"x"', "[]", "{}", "[1]", '{"value":1}', "[[]]",
  "nul", "nulll", "NaN", "Infinity", "undefined", "'x'", "", "01", "+1", ".5", "5.", "1e", "--1", "0x1",
  '"\\x41"', '"\\u12"', '"\t"', '"\\ud800"', '"open', "1e400", "-0", "-0.0", "1e-400",
];
// biome-ignore format: one item per line is hard to read
export const NUMBERS = [
  "36.0", "3.6e1", "360e-1", "36E+0", "36e0", "0036", "+36", "-36", "36.5", "3.60e+1", "36.", "0x24",
  "1e2", "1E2", "10e1", "0.1e3", "-0", "0", "0.0", "-0.0e5", "1e400", "-1e400", "1e-400", "5e-324",
  "9007199254740991", "9007199254740992", "9007199254740993", "536870912", "536870913", "536870912.0",
  "99999999999999999999", "123456789012345678901234567890", "1e21", "1e300", "65536.00", "7e4",
];
// biome-ignore format: one item per line is hard to read
const UNITS = [
  "a", "B", "/", ".", "-", " ", "0", '"', "\\", "/", "\b", "\f", "\n", "\r", "\t", "\u0000", "\u001f",
  "\u007f", "\u0080", "é", "ÿ", "Ā", "ſ", "\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff", "<", "&",
  "\ud83d\ude00", "\ud83d", "\ude00", "\udbff\udfff", "a\u0301", "node_modules/", "\u07ff", "\u0800",
];

export function oddText(random: Random): string {
  const length = random.chance(0.02) ? random.integer(200, 3_000) : random.integer(0, 12);
  return Array.from({ length }, () => random.pick(UNITS)).join("");
}

export interface Style {
  /** The share of gaps between tokens that get blanks. */
  blank: number;
  /** The share of characters that get an escape without need. */
  escape: number;
}

const BLANKS = [" ", "\n", "\t\r", "   ", " ".repeat(17), "\r\n"];
const SHORT: Record<string, string> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

export function write(random: Random, tree: Tree, style: Style): string {
  const blank = () => (style.blank > 0 && random.chance(style.blank) ? random.pick(BLANKS) : "");
  const go = (value: Tree): string => {
    if ("raw" in value) return value.raw;
    if ("text" in value) return quote(random, value.text, style.escape);
    const [parts, open, close] = Array.isArray(value)
      ? [value.map(go), "[", "]"]
      : [
          value.members.map(
            ([name, each]) => `${quote(random, name, style.escape)}${blank()}:${blank()}${go(each)}`,
          ),
          "{",
          "}",
        ];
    return `${open}${blank()}${parts.join(`${blank()},${blank()}`)}${blank()}${close}`;
  };
  return `${blank()}${go(tree)}${blank()}`;
}

/** As JSON.stringify, with additional escapes. */
function quote(random: Random, value: string, share: number): string {
  if (share === 0) return JSON.stringify(value);
  const units = value.split("").map((unit) => {
    const code = unit.charCodeAt(0);
    if (!random.chance(share) && (code & 0xf800) !== 0xd800) return JSON.stringify(unit).slice(1, -1);
    if (unit === "/" && random.chance(0.5)) return "\\/";
    if (SHORT[unit] && random.chance(0.5)) return SHORT[unit];
    const hex = code.toString(16).padStart(4, "0");
    return `\\u${random.chance(0.5) ? hex : hex.toUpperCase()}`;
  });
  return `"${units.join("")}"`;
}
