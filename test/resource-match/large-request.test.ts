import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Failure } from "../../src/failure.ts";
import { readLarge } from "../../src/resource-match/large-request.ts";
import { parseResources, type Resource } from "../../src/resource-match/request.ts";
import { fillCache, resource, send } from "../support/worker.ts";

const RUNS = 100;
/** More than a body of 5,000 resources has. */
const PADDING = `"padding":[${"1,".repeat(100_001)}1]`;
/** What may stand anywhere. */
const JSON_TEXT = fc.oneof(
  fc.json({ maxDepth: 3 }),
  fc.constantFrom("0", "-0", "1e3", "-1.5E-7", "[]", "{}", '""', "null", "true", '{"value":1}', "[[[]]]"),
);
const NAMES = ["checksum", "size_in_bytes", "mode", "path", "value", "resources", "x", "", "__proto__"];
const NAME = fc
  .tuple(fc.constantFrom(...NAMES), fc.boolean())
  .map(([name, isEscaped]) => (isEscaped ? escaped(name) : JSON.stringify(name)));
const BLANKS = fc.constantFrom("", "", "", " ", "\n\t\r ");

const objectOf = (value: fc.Arbitrary<string>) =>
  fc
    .array(fc.tuple(BLANKS, NAME, BLANKS, value, BLANKS), { maxLength: 6 })
    .map(
      (members) => `{${members.map(([a, name, b, text, c]) => `${a}${name}${b}:${b}${text}${c}`).join()}}`,
    );

const SHA1 = "aAbBcCdDeEfF00112233445566778899aabbccdd";
const CHECKSUM = fc.oneof(
  objectOf(fc.oneof(JSON_TEXT, fc.constant(`"${SHA1}"`))),
  fc.constant(`{"value":"${SHA1}"}`),
);
const USUAL = fc
  .tuple(fc.nat(), fc.string(), CHECKSUM)
  .map(
    ([size, path, checksum]) =>
      `{"checksum":${checksum},"size_in_bytes":${size},"path":${JSON.stringify(path)},"mode":"644"}`,
  );
const RESOURCE = fc.oneof(USUAL, objectOf(fc.oneof(JSON_TEXT, CHECKSUM)), JSON_TEXT);
const FEW = fc.array(RESOURCE, { maxLength: 8 }).map((all) => `[${all.join()}]`);
const MANY = fc
  .tuple(RESOURCE, fc.constantFrom(4_999, 5_000, 5_001, 6_000))
  .map(([one, count]) => `[${Array(count).fill(one).join()}]`);
const RESOURCES = fc.oneof(
  { weight: 4, arbitrary: FEW },
  // Each takes as long as a hundred others.
  { weight: 1, arbitrary: MANY },
  { weight: 3, arbitrary: objectOf(JSON_TEXT) },
  { weight: 3, arbitrary: JSON_TEXT },
);
const MEMBERS = fc.array(
  fc.oneof(
    RESOURCES.map((resources) => `"resources":${resources}`),
    fc.tuple(NAME, JSON_TEXT).map((member) => member.join(":")),
  ),
  { maxLength: 3 },
);
const BODY = fc
  .tuple(MEMBERS, MEMBERS)
  .map(([before, after]) => `{${[...before, PADDING, ...after].join()}}`);

function escaped(text: string): string {
  const units = Array.from(text, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `"${units.join("")}"`;
}

const encode = (text: string) => new TextEncoder().encode(text);

/** What is read as text, for thousands of objects take long to compare; null and absent are one. */
function outcome(parsed: Resource[] | Failure): string {
  if (parsed instanceof Failure) return `${parsed.kind}: ${parsed.reason}`;
  const known = parsed.map(({ checksum, size_in_bytes, path, mode }) => [
    checksum.value,
    Math.min(size_in_bytes, 2 ** 53),
    path ?? null,
    mode ?? null,
  ]);
  return `${parsed.length} resources: ${JSON.stringify(known)}`;
}

/** Says in a few words where two outcomes differ. */
function expectSame(body: Uint8Array): void {
  const [large, plain] = [largeOutcome(body), plainOutcome(body)];
  if (large !== plain) expect(large.slice(0, 300)).toBe(`${plain.slice(0, 300)}, of ${plain.length}`);
}

/** What is read of a body, resource by resource. */
function largeOutcome(body: Uint8Array): string {
  const read = readLarge(body.slice());
  if (read instanceof Failure) return outcome(read);
  const text = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true }).decode(read.text);
  const { resources }: { resources: Resource[] } = JSON.parse(text);
  expect(resources.length + read.tooLong.length).toBe(read.count);
  return outcome(resources);
}

function plainOutcome(body: Uint8Array): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    return outcome(parseResources(text));
  } catch {
    return outcome(new Failure({ kind: "parse-error", reason: "the body is not UTF-8" }));
  }
}

describe("a body of much more than 5,000 resources is answered as JSON.parse would have it", () => {
  it("whatever JSON it is", () => {
    fc.assert(
      fc.property(BODY, (text) => {
        const body = encode(text);
        expectSame(body);
      }),
      { numRuns: RUNS, seed: 13 },
    );
  });

  it("and where a byte of it is another, which most often makes it no JSON", () => {
    const other = fc.tuple(BODY, fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(other, fc.boolean(), ([text, place, byte], isInPadding) => {
        const body = encode(text);
        const at = isInPadding
          ? Math.floor(place * body.length)
          : text.indexOf(PADDING) + PADDING.length + Math.floor(place * 40);
        if (at < body.length) body[at] = byte;
        expectSame(body);
      }),
      { numRuns: RUNS, seed: 13 },
    );
  });

  it("wherever its members stand, and however long they become in the usual form", () => {
    const sizes = fc.constantFrom("5", "1e15", "9E15", "1e21", "0e0", "-0", "36.0", "7000000000");
    const paths = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 12 }).map((path) => JSON.stringify(path)),
      fc.constantFrom('"\\u0078\\/\\ud800"', "null", `"${"é".repeat(3_000)}"`, '"\\n"'),
    );
    const modes = fc.constantFrom('"644"', '"\\u0036\\u0034\\u0034"', "null", `"${"0".repeat(900)}"`);
    const members = fc.tuple(sizes, paths, modes, fc.boolean()).chain(([size, path, mode, isHex]) => {
      const value = isHex ? SHA1 : "ö".repeat(40);
      const texts = [`"checksum":{"value":"${value}"}`, `"size_in_bytes":${size}`, `"path":${path}`];
      const some = [...texts, `"mode":${mode}`, `"path":${path}`, '"x":1'];
      return fc
        .shuffledSubarray(some, { minLength: 3 })
        .filter((all) => texts.slice(0, 2).every((text) => all.includes(text)));
    });
    const resources = fc.array(members, { minLength: 1, maxLength: 60, size: "max" });
    fc.assert(
      fc.property(resources, fc.nat(2), (all, times) => {
        const list = `"resources":[${all.map((each) => `{${each.join()}}`).join()}]`;
        expectSame(
          encode(
            `{${Array(times + 1)
              .fill(list)
              .join()}}`,
          ),
        );
      }),
      { numRuns: 10 * RUNS, seed: 13 },
    );
  });

  it.each([
    "01",
    "1.",
    ".5",
    "+1",
    "1e",
    "1e+",
    "- 1",
    "0x1",
    "tru",
    "nulll",
    "True",
    "'a'",
    '"\t"',
    '"\\x"',
    '"\\u12g4"',
    '"',
    "[1,]",
    "[,1]",
    "[1 1]",
    '{"a"}',
    '{"a":1,}',
    "{a:1}",
    "{1:1}",
    "[1}",
    '{"a":1]',
    "[",
    "{",
    "1]",
    "\u00a01",
    "\ufeff1",
    "\0",
    '"\u007f"',
    '"\\/\\b\\f\\n\\r\\t\\"\\\\"',
    '"\\ud800"',
    "-0",
    "0e0",
    "1E-0",
    "[[],{},[{}]]",
    "\r\n\t 1 \r\n\t",
  ])("%j as a value", (value) => {
    const body = encode(`{${PADDING},"a":${value},"resources":[{"path":${value}}]}`);
    expectSame(body);
  });

  it.each([" ", "x", "}", "\0", "\ufeff"])("%j behind it or before it", (text) => {
    for (const body of [`{${PADDING}}${text}`, `${text}{${PADDING}}`, `[${PADDING.slice(11, -1)}]${text}`]) {
      expectSame(encode(body));
    }
  });

  it("a byte that is not UTF-8, be it in what is not looked at", () => {
    const body = encode(`{"resources":[],${PADDING},"a":"?"}`);
    body[body.length - 3] = 0xff;
    expectSame(body);
  });
});

describe("an object in the place of the resources", () => {
  it("has as many as it has members: the only answer that differs, in a message of the same 422", () => {
    const members = (count: number) => `{"resources":{${'"a":1,'.repeat(count)}"b":1},${PADDING}}`;
    const reasons = [4_999, 5_000].map((count) => largeOutcome(encode(members(count))));
    expect(reasons).toEqual([
      "unprocessable: Resources must be an array",
      "unprocessable: Resources must be an array, Resources array can have at most 5000 resources",
    ]);
  });
});

it("an unknown member, however much there is in it, is dropped, and the resource matches", async () => {
  await fillCache(resource(1));
  const unknown = `"unknown":${"[".repeat(200_000)}${"]".repeat(200_000)}`;
  const known = JSON.stringify(resource(1));
  const response = await send(`{"resources":[${known.slice(0, -1)},${unknown}}]}`);
  expect(await response.text()).toBe(
    `{"resources":[{"checksum":{"value":"${resource(1).checksum.value}"},"size_in_bytes":2,"path":"src/1.js","mode":"644"}]}`,
  );
});
