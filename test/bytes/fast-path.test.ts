import { env } from "cloudflare:workers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EligibilityRules } from "../../src/resource-match/match-request.ts";
import contract from "../contract/cloud-controller-cases.json" with { type: "json" };
import { arbitraryBody } from "./arbitrary-body.ts";
import {
  actualOutcome,
  actualOutcomeInSteps,
  expectedOutcome,
  type IsPresent,
  isCanonical,
  type Outcome,
} from "./request-paths.ts";

const RULES = { minimumSize: 0, maximumSize: 536_870_912, minimumFileMode: undefined };
const SHA1 = "002d760bea1be268e27077412e11a320d0f164d3";
const encode = (text: string) => new TextEncoder().encode(text);
const withPath = (path: string) =>
  `{"resources":[{"checksum":{"value":"${SHA1}"},"size_in_bytes":36,"path":${path},"mode":"644"}]}`;
const all = () => true;
/** A million take three minutes: `FAST_PATH_CASES=1000000 npm test -- test/bytes`. */
const CASES = Number(env.FAST_PATH_CASES);
/** Ten times what a busy machine needs. */
const TIMEOUT_MS = Math.max(30_000, 2 * CASES);

/** Asserts that the Worker's outcome is the slow path's, and returns that. An assertion is slow, so it compares text first. */
function expectAgreement(
  body: Uint8Array,
  rules: EligibilityRules = RULES,
  isPresent: IsPresent = all,
): Outcome {
  const actual = actualOutcome(body, rules, isPresent);
  const expected = expectedOutcome(body, rules, isPresent);
  if (JSON.stringify(actual) !== JSON.stringify(expected)) expect(actual).toEqual(expected);
  return expected;
}

describe("fast path and slow path", () => {
  it(
    "reads arbitrary bodies on the fast path as on the slow path, with arbitrary limits and matches (R2.4)",
    () => {
      const rules = fc.record({
        minimumSize: fc.constantFrom(0, 1, 100),
        maximumSize: fc.constantFrom(536_870_912, 100, Number.MAX_SAFE_INTEGER),
        minimumFileMode: fc.constantFrom(undefined, 0o600, 0o755),
      });
      let canonical = 0;
      fc.assert(
        fc.property(arbitraryBody, rules, fc.nat(63), (bytes, limits, present) => {
          const isPresent = (index: number) => ((present >> (index % 6)) & 1) === 1;
          canonical += isCanonical(bytes, limits) ? 1 : 0;
          expectAgreement(bytes, limits, isPresent);
        }),
        { numRuns: CASES },
      );
      // The test proves nothing if all bodies take the same path.
      expect(canonical / CASES).toBeGreaterThan(0.15);
      expect(canonical / CASES).toBeLessThan(0.85);
    },
    TIMEOUT_MS,
  );

  it.each(contract.cases.flatMap(({ name, body }) => (body === null ? [] : [[name, body] as const])))(
    "reads a body of the contract on the fast path as on the slow path: %s (R2.4)",
    (_, text) => {
      expectAgreement(encode(text));
    },
  );

  it.each([
    ["cut off at any byte", (text: string) => [...text].map((_, end) => text.slice(0, end))],
    [
      "with any byte repeated",
      (text: string) => [...text].map((byte, at) => text.slice(0, at) + byte + text.slice(at)),
    ],
    [
      "with a blank before any byte",
      (text: string) => [...text].map((_, at) => `${text.slice(0, at)} ${text.slice(at)}`),
    ],
    [
      "with any byte replaced by NUL",
      (text: string) => [...text].map((_, at) => `${text.slice(0, at)}\0${text.slice(at + 1)}`),
    ],
  ])(
    "reads a request %s on the fast path as on the slow path, with the rest of an earlier one in the memory (R2.4)",
    (_, variants) => {
      const text = withPath('"a/b.js"');
      for (const variant of variants(text)) {
        actualOutcome(encode(text), RULES, all);
        expectAgreement(encode(variant));
      }
    },
  );

  it("reads resources of any length at the end of a chunk on the fast path as on the slow path (R2.4)", () => {
    const resource = (pathBytes: number, more: string) =>
      `{"path":"${"ä".repeat(pathBytes)}"${more},"mode":"0${pathBytes % 8}44","checksum":{"value":"${SHA1}"},"size_in_bytes":36}`;
    const lengths = fc.oneof(
      { weight: 200, arbitrary: fc.nat(300) },
      { weight: 1, arbitrary: fc.integer({ min: 32_000, max: 33_000 }) },
      { weight: 1, arbitrary: fc.constantFrom(100_000, 300_000) },
    );
    const fillers = fc.constantFrom("", " ", `${" ".repeat(400)}`, "\n");
    const errors = fc.oneof(
      { weight: 8, arbitrary: fc.constant("") },
      fc.constantFrom(',"x":1', ',"mode":"7"', ',"mode":7'),
    );
    const blanks = fc.constantFrom("", " ", " ".repeat(70_000), "\n".repeat(200_000));
    const ends = fc.constantFrom("]}", "]}\n", `]}${" ".repeat(70_000)}`, "]", "", ",]}", "]}x");
    // At most 4 MiB, which is the limit of the slow path.
    const resources = fc
      .array(fc.tuple(lengths, fillers), { minLength: 1, maxLength: 1_200, size: "max" })
      .filter((each) => each.reduce((sum, [length]) => sum + 2 * length + 200, 0) < 3_700_000);
    fc.assert(
      fc.property(
        resources,
        errors,
        fc.nat(),
        blanks,
        ends,
        fc.nat(7),
        (lengthsAndFillers, error, at, blank, end, present) => {
          const texts = lengthsAndFillers.map(([length, filler], index) => {
            const isChosen = index === at % lengthsAndFillers.length;
            return (isChosen ? blank : "") + resource(length, isChosen ? error + filler : filler);
          });
          const body = encode(`{"resources":[${texts.join(",")}${end}`);
          const isPresent = (index: number) => index % 8 <= present;
          for (const minimumFileMode of [undefined, 0o600]) {
            expectAgreement(body, { ...RULES, minimumFileMode }, isPresent);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it.each<[string, string, boolean]>([
    ["262,144 bytes", "x".repeat(262_142), true],
    ["262,145 bytes", "x".repeat(262_143), false],
    ["262,144 bytes in two-byte characters", "é".repeat(131_071), true],
    ["262,146 bytes in two-byte characters", "é".repeat(131_072), false],
    ["262,144 characters that are escaped without need", "\\u0078".repeat(262_142), true],
    ["262,145 characters that are escaped without need", "\\u0078".repeat(262_143), false],
    ["262,142 bytes in control characters", "\\u0001".repeat(43_690), true],
    ["262,148 bytes in control characters", "\\u0001".repeat(43_691), false],
    ["4 million bytes", "x".repeat(4_000_000), false],
  ])("matches no content with a path beyond 256 KiB on either path: %s (R1.8)", (_, path, isAllowed) => {
    const long = withPath(`"${path}"`);
    const isEligible = (text: string) => {
      const { candidates, failure } = expectAgreement(encode(text));
      expect(failure).toBe(undefined);
      return candidates?.map(([, is]) => is);
    };
    expect(isEligible(long)).toEqual(isAllowed ? [true] : []);
    expect(isEligible(long.replace("{", '{"x":0,'))).toEqual(isAllowed ? [true] : []);
    const short = withPath('"a/b.js"').slice('{"resources":['.length, -2);
    expect(isEligible(long.replace("[", `[${short},`))).toEqual(isAllowed ? [true, true] : [false]);
  });

  it.each<[string, number, boolean]>([
    ["262,144 bytes", 262_142, true],
    ["262,145 bytes", 262_143, false],
  ])("matches no content with a mode beyond 256 KiB on either path: %s (R1.8)", (_, length, isAllowed) => {
    const text = withPath('"a/b.js"').replace('"644"', `"${"0".repeat(length - 3)}644"`);
    expect(expectAgreement(encode(text)).candidates).toHaveLength(isAllowed ? 1 : 0);
  });

  it("reads every character in a path on the fast path as on the slow path: raw, escaped and as half of a surrogate pair", () => {
    const codes = Array.from({ length: 0x10000 }, (_, code) => code);
    const escaped = (code: number) => `\\u${code.toString(16).padStart(4, "0")}`;
    for (let from = 0; from < codes.length; from += 256) {
      const texts = codes.slice(from, from + 256).flatMap((code) => {
        const raw = String.fromCodePoint(code < 0x80 || (code & 0xf800) === 0xd800 ? 0x10000 + code : code);
        const pairs = [escaped(code) + escaped(0xdc00), escaped(0xd83d) + escaped(code), escaped(code) + raw];
        return [escaped(code), ...pairs, escaped(code).toUpperCase().replace("U", "u"), raw];
      });
      const text = withPath(`"${texts.join("x")}"`);
      expectAgreement(encode(text));
      expect(isCanonical(encode(text), RULES)).toBe(true);
    }
  });

  it("reads every sequence of two bytes in a path on the fast path as on the slow path, whether it is UTF-8 or not", () => {
    const tails = [[], [0x80], [0xbf, 0x80], [0x80, 0xbf, 0x41]];
    const [before, after] = withPath('"|"').split("|").map(encode) as [Uint8Array, Uint8Array];
    for (let first = 0x7f; first < 0x100; first++) {
      for (let second = 0x7e; second < 0x100; second += second > 0x92 && second < 0x9c ? 7 : 1) {
        for (const tail of tails) {
          const bytes = Uint8Array.from([...before, first, second, ...tail, ...after]);
          // Any UTF-8 in a path is canonical.
          const isText = expectAgreement(bytes).failure === undefined;
          if (isCanonical(bytes, RULES) !== isText) expect([first, second, ...tail]).toBe(isText);
        }
      }
    }
  });
});

describe("canonical form", () => {
  it.each<[string, string]>([
    ["a request of cf CLI", withPath('"a/b.js"')],
    ["pretty-printed JSON", JSON.stringify(JSON.parse(withPath('"a/b.js"')), null, 2)],
    ["escapes as Go writes them", withPath('"a\\u0026b\\u003c\\u2028"')],
    [
      "members in any order, and null",
      `{"resources":[{"size_in_bytes":36,"mode":null,"checksum":{"value":"${SHA1}"}}]}`,
    ],
    ["the longest path that matches", withPath(JSON.stringify("x".repeat(262_142)))],
  ])("takes the fast path for %s", (_, text) => {
    expect(isCanonical(encode(text), RULES)).toBe(true);
    expectAgreement(encode(text));
  });

  const many = (count: number, path = "a") => ({
    resources: Array(count).fill({ checksum: { value: SHA1 }, size_in_bytes: 1, path }),
  });

  it("takes the fast path for 5,000 resources, and not for 5,001", () => {
    expect(isCanonical(encode(JSON.stringify(many(5_000))), RULES)).toBe(true);
    expect(isCanonical(encode(JSON.stringify(many(5_001))), RULES)).toBe(false);
    expectAgreement(encode(JSON.stringify(many(5_000))));
  });

  it("takes the fast path for 5,000 pretty-printed resources of more than 4 MiB", () => {
    const body = encode(JSON.stringify(many(5_000, "x".repeat(700)), null, 4));
    expect(body.length).toBeGreaterThan(4 * 1024 * 1024);
    expect(isCanonical(body, RULES)).toBe(true);
  });
});

describe("concurrent requests", () => {
  it("keeps the data of concurrent requests apart in the shared memory", async () => {
    const bodies = fc.array(arbitraryBody, { minLength: 2, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(bodies, fc.scheduler(), async (several, scheduler) => {
        const outcomes = several.map(async (bytes) => {
          await scheduler.schedule(Promise.resolve());
          return actualOutcomeInSteps(bytes, RULES, all, () => scheduler.schedule(Promise.resolve()));
        });
        await scheduler.waitAll();
        const expected = several.map((bytes) => expectedOutcome(bytes, RULES, all));
        expect(await Promise.all(outcomes)).toEqual(expected);
      }),
      { numRuns: 1_000 },
    );
  });
});
