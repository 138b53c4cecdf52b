import { env } from "cloudflare:workers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EligibilityRules } from "../../src/resource-match/eligibility.ts";
import contract from "../contract/cloud-controller-cases.json" with { type: "json" };
import { body } from "./bodies.ts";
import { type IsPresent, isUsual, meant, type Outcome, read, readInSteps } from "./one-meaning.ts";

const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };
const SHA1 = "002d760bea1be268e27077412e11a320d0f164d3";
const encode = (text: string) => new TextEncoder().encode(text);
const withPath = (path: string) =>
  `{"resources":[{"checksum":{"value":"${SHA1}"},"size_in_bytes":36,"path":${path},"mode":"644"}]}`;
const all = () => true;
/** A million take three minutes: `ONE_MEANING_CASES=1000000 npm test -- test/bytes`. */
const CASES = Number(env.ONE_MEANING_CASES);
/** They are no limit: a busy machine takes a tenth of that. */
const TIMEOUT_MS = Math.max(30_000, 2 * CASES);

/** Compared as text first: an assertion takes longer than all that it asserts. @returns what is meant */
function meansOneThing(
  body: Uint8Array,
  rules: EligibilityRules = RULES,
  isPresent: IsPresent = all,
): Outcome {
  // Reading may use a body up.
  const [asRead, asMeant] = [read(body.slice(), rules, isPresent), meant(body, rules, isPresent)];
  if (JSON.stringify(asRead) !== JSON.stringify(asMeant)) expect(asRead).toEqual(asMeant);
  return asMeant;
}

describe("a request means one thing, whether it is read from its bytes or by JSON.parse and the schema", () => {
  it(
    "whatever its body is, which limits are set and what is held",
    () => {
      const rules = fc.record({
        minimumSize: fc.constantFrom(0, 1, 100),
        maximumSize: fc.constantFrom(536_870_912, 100, Number.MAX_SAFE_INTEGER),
        minimumFileMode: fc.constantFrom(undefined, 0o600, 0o755),
      });
      let usual = 0;
      fc.assert(
        fc.property(body, rules, fc.nat(63), (bytes, limits, present) => {
          const isPresent = (index: number) => ((present >> (index % 6)) & 1) === 1;
          usual += isUsual(bytes, limits) ? 1 : 0;
          meansOneThing(bytes, limits, isPresent);
        }),
        { numRuns: CASES },
      );
      // The test is worth nothing where the module always steps aside, or never.
      expect(usual / CASES).toBeGreaterThan(0.15);
      expect(usual / CASES).toBeLessThan(0.85);
    },
    TIMEOUT_MS,
  );

  it.each(contract.cases.flatMap(({ name, body }) => (body === null ? [] : [[name, body] as const])))(
    "as the contract has it: %s",
    (_, text) => {
      meansOneThing(encode(text));
    },
  );

  it.each([
    [
      "a request cut off at each of its bytes",
      (text: string) => [...text].map((_, end) => text.slice(0, end)),
    ],
    [
      "one with each of its bytes twice",
      (text: string) => [...text].map((byte, at) => text.slice(0, at) + byte + text.slice(at)),
    ],
    [
      "one with a blank before each of its bytes",
      (text: string) => [...text].map((_, at) => `${text.slice(0, at)} ${text.slice(at)}`),
    ],
    [
      "one with a NUL in place of each of its bytes",
      (text: string) => [...text].map((_, at) => `${text.slice(0, at)}\0${text.slice(at + 1)}`),
    ],
  ])("%s, right after one that goes on where it ends", (_, variants) => {
    const text = withPath('"a/b.js"');
    for (const variant of variants(text)) {
      // What the module has in its memory from before.
      read(encode(text), RULES, all);
      meansOneThing(encode(variant));
    }
  });

  it("wherever the pieces end in which the module reads it, and however long a resource is", () => {
    const resource = (pathBytes: number, more: string) =>
      `{"path":"${"ä".repeat(pathBytes)}"${more},"mode":"0${pathBytes % 8}44","checksum":{"value":"${SHA1}"},"size_in_bytes":36}`;
    const lengths = fc.oneof(
      { weight: 200, arbitrary: fc.nat(300) },
      { weight: 1, arbitrary: fc.integer({ min: 32_000, max: 33_000 }) },
      { weight: 1, arbitrary: fc.constantFrom(100_000, 300_000) },
    );
    const mores = fc.constantFrom("", " ", `${" ".repeat(400)}`, "\n");
    const wrongs = fc.oneof(
      { weight: 8, arbitrary: fc.constant("") },
      fc.constantFrom(',"x":1', ',"mode":"7"', ',"mode":7'),
    );
    const blanks = fc.constantFrom("", " ", " ".repeat(70_000), "\n".repeat(200_000));
    const ends = fc.constantFrom("]}", "]}\n", `]}${" ".repeat(70_000)}`, "]", "", ",]}", "]}x");
    const resources = fc.array(fc.tuple(lengths, mores), { minLength: 1, maxLength: 1_200, size: "max" });
    fc.assert(
      fc.property(
        resources,
        wrongs,
        fc.nat(),
        blanks,
        ends,
        fc.nat(7),
        (all, wrong, at, blank, end, present) => {
          const texts = all.map(([length, more], index) => {
            const isChosen = index === at % all.length;
            return (isChosen ? blank : "") + resource(length, isChosen ? wrong + more : more);
          });
          const body = encode(`{"resources":[${texts.join(",")}${end}`);
          const isPresent = (index: number) => index % 8 <= present;
          for (const minimumFileMode of [undefined, 0o600])
            meansOneThing(body, { ...RULES, minimumFileMode }, isPresent);
        },
      ),
      { numRuns: 25 },
    );
  });

  it.each<[string, string, boolean]>([
    ["262,144 bytes", "x".repeat(262_142), true],
    ["one more", "x".repeat(262_143), false],
    ["as many characters of two bytes", "é".repeat(131_071), true],
    ["one more of them", "é".repeat(131_072), false],
    ["as many escapes that need not be", "\\u0078".repeat(262_142), true],
    ["one more of those", "\\u0078".repeat(262_143), false],
    ["as many escapes that must be", "\\u0001".repeat(43_690), true],
    ["one more of these", "\\u0001".repeat(43_691), false],
    ["15 million bytes", "x".repeat(15_000_000), false],
  ])("and a path of %s is a file's, or rules out its content", (_, path, isFiles) => {
    const long = withPath(`"${path}"`);
    const isEligible = (text: string) => {
      const { candidates, failure } = meansOneThing(encode(text));
      expect(failure).toBe(undefined);
      return candidates?.map(([, is]) => is);
    };
    expect(isEligible(long)).toEqual(isFiles ? [true] : []);
    expect(isEligible(long.replace("{", '{"x":0,'))).toEqual(isFiles ? [true] : []);
    const short = withPath('"a/b.js"').slice('{"resources":['.length, -2);
    expect(isEligible(long.replace("[", `[${short},`))).toEqual(isFiles ? [true, true] : [false]);
  });

  it.each<[string, number, boolean]>([
    ["262,144 bytes", 262_142, true],
    ["one more", 262_143, false],
  ])("and a mode of %s likewise", (_, length, isFiles) => {
    const text = withPath('"a/b.js"').replace('"644"', `"${"0".repeat(length - 3)}644"`);
    expect(meansOneThing(encode(text)).candidates).toHaveLength(isFiles ? 1 : 0);
  });

  it("for every character, raw and escaped, alone and in pairs", () => {
    const codes = Array.from({ length: 0x10000 }, (_, code) => code);
    const escaped = (code: number) => `\\u${code.toString(16).padStart(4, "0")}`;
    for (let from = 0; from < codes.length; from += 256) {
      const texts = codes.slice(from, from + 256).flatMap((code) => {
        const raw = String.fromCodePoint(code < 0x80 || (code & 0xf800) === 0xd800 ? 0x10000 + code : code);
        const pairs = [escaped(code) + escaped(0xdc00), escaped(0xd83d) + escaped(code), escaped(code) + raw];
        return [escaped(code), ...pairs, escaped(code).toUpperCase().replace("U", "u"), raw];
      });
      const text = withPath(`"${texts.join("x")}"`);
      meansOneThing(encode(text));
      expect(isUsual(encode(text), RULES)).toBe(true);
    }
  });

  it("for every sequence of two bytes in a path, and what may follow it, UTF-8 or not", () => {
    const tails = [[], [0x80], [0xbf, 0x80], [0x80, 0xbf, 0x41]];
    const [before, after] = withPath('"|"').split("|").map(encode) as [Uint8Array, Uint8Array];
    for (let first = 0x7f; first < 0x100; first++) {
      for (let second = 0x7e; second < 0x100; second += second > 0x92 && second < 0x9c ? 7 : 1) {
        for (const tail of tails) {
          const bytes = Uint8Array.from([...before, first, second, ...tail, ...after]);
          // In a path, all that is UTF-8 is usual.
          const isText = meansOneThing(bytes).failure === undefined;
          if (isUsual(bytes, RULES) !== isText) expect([first, second, ...tail]).toBe(isText);
        }
      }
    }
  });
});

describe("what the module reads itself", () => {
  it.each<[string, string]>([
    ["what cf CLI sends", withPath('"a/b.js"')],
    ["text with blanks", JSON.stringify(JSON.parse(withPath('"a/b.js"')), null, 2)],
    ["escapes as Go writes them", withPath('"a\\u0026b\\u003c\\u2028"')],
    [
      "members in another order",
      `{"resources":[{"size_in_bytes":36,"mode":null,"checksum":{"value":"${SHA1}"}}]}`,
    ],
    ["the longest path that matches", withPath(JSON.stringify("x".repeat(262_142)))],
  ])("is %s", (_, text) => {
    expect(isUsual(encode(text), RULES)).toBe(true);
    meansOneThing(encode(text));
  });

  it("is 5,000 resources, and not one more", () => {
    const many = (count: number) =>
      encode(
        JSON.stringify({ resources: Array(count).fill({ checksum: { value: SHA1 }, size_in_bytes: 1 }) }),
      );
    expect(isUsual(many(5_000), RULES)).toBe(true);
    expect(isUsual(many(5_001), RULES)).toBe(false);
    meansOneThing(many(5_000));
  });
});

describe("requests that are answered in turns", () => {
  it("know nothing of each other, wherever one waits while others are read", async () => {
    const bodies = fc.array(body, { minLength: 2, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(bodies, fc.scheduler(), async (several, scheduler) => {
        const outcomes = several.map(async (bytes) => {
          await scheduler.schedule(Promise.resolve());
          return readInSteps(bytes, RULES, all, () => scheduler.schedule(Promise.resolve()));
        });
        await scheduler.waitAll();
        const expected = several.map((bytes) => meant(bytes, RULES, all));
        expect(await Promise.all(outcomes)).toEqual(expected);
      }),
      { numRuns: 1_000 },
    );
  });
});
