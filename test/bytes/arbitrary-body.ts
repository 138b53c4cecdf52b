import fc from "fast-check";
import { toHex } from "../../src/resources/sha1.ts";

const hex = fc
  .tuple(fc.uint8Array({ minLength: 20, maxLength: 20 }), fc.boolean())
  .map(([bytes, isUpper]) => (isUpper ? toHex(bytes).toUpperCase() : toHex(bytes)));
const size = fc.oneof(
  fc.nat(200),
  fc.maxSafeNat(),
  fc.constantFrom(0, 2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, 1e16, 1e21, 1e300, 999_999_999_999_999),
);
const mode = fc.oneof(fc.stringMatching(/^[0-7]{1,7}$/), fc.constantFrom("644", "0400", "100755"));
const path = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({
    unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
    maxLength: 20,
  }),
  fc.constantFrom("node_modules/lodash/index.js", 'a"b\\c/d', "\u2028<&>\u007f\u0000", "\ud83d\ude00\ud83d"),
);

/** Between the tokens of JSON. The last group is not allowed there. */
const blank = fc.oneof(
  { weight: 400, arbitrary: fc.constant("") },
  { weight: 4, arbitrary: fc.constantFrom(" ", "\n", "\t\r", " ".repeat(20)) },
  { weight: 1, arbitrary: fc.constantFrom("\u00a0", "\f", "\v", "\0", "\ufeff") },
);

/** A JSON string: as JSON.stringify writes it, or with escapes that are not needed. */
const quoted = (text: fc.Arbitrary<string>) =>
  fc.tuple(text, fc.integer({ min: 0, max: 3 }), fc.nat(7)).map(([plain, way, where]) => {
    if (way < 2) return JSON.stringify(plain);
    const escaped = plain.split("").map((unit, index) => {
      if (index % 8 !== where && JSON.stringify(unit) === `"${unit}"`) return unit;
      if (unit === "/") return "\\/";
      const code = unit.charCodeAt(0).toString(16).padStart(4, "0");
      return `\\u${way === 2 ? code : code.toUpperCase()}`;
    });
    return `"${escaped.join("")}"`;
  });

const number = fc.oneof(
  { weight: 40, arbitrary: size.map(String) },
  fc.constantFrom(
    "-0",
    "0.0",
    "1e2",
    "1E+2",
    "36.0",
    "007",
    "-1",
    "1.5",
    "+1",
    "0x10",
    "9007199254740993",
    "10000000000000000",
  ),
);
const odd = fc.oneof(
  fc.constantFrom("true", "false", "null", "[]", "{}", '""', "1", '"x"', "nul", "nulll", "NaN", "'x'", ""),
  quoted(path),
);
const mostly = (common: fc.Arbitrary<string>, other: fc.Arbitrary<string> = odd, weight = 150) =>
  fc.oneof({ weight, arbitrary: common }, { weight: 1, arbitrary: other });

const member = (name: string, value: fc.Arbitrary<string>) =>
  fc
    .tuple(
      mostly(fc.constant(JSON.stringify(name)), quoted(fc.constant(name)), 180),
      blank,
      blank,
      value,
      blank,
    )
    .map(([key, before, after, text, end]) => `${before}${key}${after}:${before}${text}${end}`);

const object = (members: fc.Arbitrary<string[]>) => members.map((texts) => `{${texts.join(",")}}`);

const checksum = object(
  fc
    .tuple(
      member(
        "value",
        mostly(
          hex.map((text) => `"${text}"`),
          quoted(fc.string({ maxLength: 41 })),
        ),
      ),
      mostly(fc.constant(""), member("type", odd), 180),
    )
    .map((members) => members.filter((text) => text !== "")),
);

const resource = mostly(
  object(
    fc
      .tuple(
        mostly(member("checksum", mostly(checksum)), fc.constant(""), 240),
        mostly(member("size_in_bytes", mostly(number)), fc.constant(""), 240),
        fc.oneof(
          { weight: 5, arbitrary: member("path", mostly(quoted(path), fc.constant("null"), 10)) },
          fc.constant(""),
        ),
        fc.oneof(
          {
            weight: 5,
            arbitrary: member(
              "mode",
              mostly(
                mode.map((text) => `"${text}"`),
                fc.oneof(fc.constant("null"), odd),
                20,
              ),
            ),
          },
          fc.constant(""),
        ),
        mostly(
          fc.constant(""),
          fc.oneof(member("other", odd), member("path", quoted(path)), member("mode", fc.constant('"644"'))),
          180,
        ),
      )
      .chain((members) =>
        fc.shuffledSubarray(
          members.filter((text) => text !== ""),
          { minLength: members.filter((text) => text !== "").length },
        ),
      ),
  ),
);

const request = fc
  .tuple(
    blank,
    mostly(fc.array(resource, { minLength: 1, maxLength: 6 }).map((all) => `[${all.join(",")}]`)),
    blank,
    mostly(fc.constant(""), fc.constantFrom(",", "x", "\0", '{"resources":[]}'), 180),
  )
  .chain(([before, resources, after, end]) =>
    object(fc.tuple(member("resources", fc.constant(resources)))).map(
      (text) => `${before}${text}${after}${end}`,
    ),
  );

const encode = (text: string) => new TextEncoder().encode(text);

/** A request with one to three bytes deleted, inserted or replaced, or with its end cut off. */
const damaged = fc
  .tuple(request, fc.array(fc.tuple(fc.nat(), fc.nat(255), fc.nat(3)), { minLength: 1, maxLength: 3 }))
  .map(([text, damages]) => {
    let bytes = [...encode(text)];
    for (const [where, byte, how] of damages) {
      const at = where % (bytes.length + 1);
      if (how === 0) bytes.splice(at, 1);
      else if (how === 1) bytes.splice(at, 0, byte);
      else if (how === 2) bytes[at] = byte;
      else bytes = bytes.slice(0, at);
    }
    return Uint8Array.from(bytes);
  });

/** The body of a request: canonical or nearly so, damaged, any JSON, or any bytes. */
export const arbitraryBody: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 6, arbitrary: request.map(encode) },
  { weight: 4, arbitrary: damaged },
  { weight: 1, arbitrary: fc.json().map(encode) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
);
