import { reset } from "cloudflare:test";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { fillCache, matchedPaths, resource, type SentResource, send, sendWith } from "../support/worker.ts";

afterEach(() => reset());

describe("eligibility", () => {
  it("matches sizes from MINIMUM_SIZE to MAXIMUM_SIZE, and no others (R1.8)", async () => {
    const resources = [9, 10, 11, 99, 100, 101].map((size) => resource(size - 1, { path: `${size}` }));
    await fillCache(...resources);
    const limits = { MINIMUM_SIZE: "10", MAXIMUM_SIZE: "100" };
    expect(await matchedPaths(await sendWith(limits, { resources }))).toEqual(["10", "11", "99", "100"]);
  });

  it("matches files of up to 512 MiB by default (R1.8)", async () => {
    const resources = [536870912, 536870913].map((size) =>
      resource(1, { size_in_bytes: size, path: `${size}` }),
    );
    await fillCache(...resources);
    expect(await matchedPaths(await send({ resources }))).toEqual(["536870912"]);
  });

  it.each(["0", "444", "0000", "100200", "77777777777777777777777777"])(
    "matches a file of mode %s without MINIMUM_FILE_MODE",
    async (mode) => {
      await fillCache(resource(1));
      expect(await matchedPaths(await send({ resources: [resource(1, { mode })] }))).toHaveLength(1);
    },
  );

  it("matches only modes with every bit of MINIMUM_FILE_MODE, and takes 0744 for a missing mode (R1.8)", async () => {
    const modes = [
      "600",
      "0600",
      "0644",
      "100755",
      "6000600",
      "400",
      "0444",
      "200",
      "0",
      "100444",
      null,
      undefined,
    ];
    const resources = modes.map((mode, index) => resource(index, { mode: mode as string, path: `${mode}` }));
    await fillCache(...resources);
    const matched = await matchedPaths(await sendWith({ MINIMUM_FILE_MODE: "0600" }, { resources }));
    expect(matched).toEqual(["600", "0600", "0644", "100755", "6000600", "null", "undefined"]);
    const strict = await matchedPaths(await sendWith({ MINIMUM_FILE_MODE: "0755" }, { resources }));
    expect(strict).toEqual(["100755"]);
  });

  it("matches no file with the content of a file whose mode lacks bits, because cf CLI would drop it (R1.8, R3.7)", async () => {
    const upper = { value: resource(1).checksum.value.toUpperCase() };
    const resources = [
      resource(1, { path: "low", mode: "0400" }),
      resource(1, { path: "same content" }),
      resource(1, { path: "same content, upper case", checksum: upper }),
      resource(2, { path: "other content" }),
    ];
    await fillCache(...resources);
    expect(await matchedPaths(await sendWith({ MINIMUM_FILE_MODE: "0600" }, { resources }))).toEqual([
      "other content",
    ]);
  });
});

describe("the response", () => {
  it("returns the present resources as they were sent, in the order of the request (R2.4, R3.7)", async () => {
    const sent = fc.record(
      {
        checksum: fc.record({ value: fc.integer({ min: 0, max: 40 }).map((seed) => mixedCase(seed)) }),
        size_in_bytes: fc.integer({ min: 0, max: 3 }),
        path: fc.oneof(fc.constant(null), fc.string({ unit: "binary" })),
        mode: fc.oneof(fc.constant(null), fc.stringMatching(/^[0-7]{1,6}$/)),
        fingerprint: fc.string(),
      },
      { requiredKeys: ["checksum", "size_in_bytes"] },
    );
    const pool = Array.from({ length: 20 }, (_, seed) => ({
      checksum: { value: mixedCase(seed) },
      size_in_bytes: seed % 4,
    }));
    await fillCache(...pool);
    const present = new Set(
      pool.map((known) => `${known.checksum.value.toLowerCase()}:${known.size_in_bytes}`),
    );

    await fc.assert(
      fc.asyncProperty(fc.array(sent, { minLength: 1, maxLength: 150 }), async (resources) => {
        const response = await send({ resources });
        const expected = resources
          .filter(({ checksum, size_in_bytes }) =>
            present.has(`${checksum.value.toLowerCase()}:${size_in_bytes}`),
          )
          .map(echoed);
        expect(await response.text()).toBe(JSON.stringify({ resources: expected }));
      }),
      { numRuns: 60 },
    );
  });
});

/** A checksum for each seed, in letter cases that differ from seed to seed. */
function mixedCase(seed: number): string {
  const value = (seed % 20).toString(16).padStart(40, "abcdef");
  return seed % 3 === 0 ? value.toUpperCase() : value;
}

function echoed({ checksum, size_in_bytes, path, mode }: SentResource): SentResource {
  return {
    checksum: { value: checksum.value },
    size_in_bytes,
    ...(path === null || path === undefined ? {} : { path }),
    ...(mode === null || mode === undefined ? {} : { mode }),
  };
}
