import { appendFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Line, readLines } from "../../src/cli/input-lines.ts";
import { keyOf, sha1Of } from "./app.ts";
import { makeNames } from "./blobs.ts";
import { resourcePool, resourcePoolInThread, temporaryDirectory } from "./command.ts";
import { startFakeCache } from "./fake-cache.ts";

const utf16 = (text: string, isBigEndian = false) => {
  const bytes = Buffer.from(text, "utf16le");
  return isBigEndian ? bytes.swap16() : bytes;
};

const ENCODINGS: Record<string, (text: string) => Buffer> = {
  "UTF-8": (text) => Buffer.from(text),
  "UTF-8 with a byte order mark": (text) => Buffer.from(`\ufeff${text}`),
  "UTF-16LE, as PowerShell 5.1 writes it": (text) => utf16(`\ufeff${text}`),
  "UTF-16BE": (text) => utf16(`\ufeff${text}`, true),
  "UTF-16LE without a byte order mark": (text) => utf16(text),
  "UTF-16BE without a byte order mark": (text) => utf16(text, true),
};

const NAMES = ["first", "second", "third"];
const LINES = ["# ünïcödé", ...NAMES.map((name) => keyOf(name).replace(":", " ")), "", "cafe 12"];

/** Runs `import` with the list as a file, and `remove --from` with it as stdin. Yields the outcomes and what was sent. */
async function* runEach(list: Uint8Array) {
  const cwd = await temporaryDirectory();
  await writeFile(join(cwd, "list.txt"), list);
  for (const [command, file] of [
    [["import"], "list.txt"],
    [["remove", "--from"], "-"],
  ] as const) {
    const cache = await startFakeCache();
    const args = [...command, file, ...cache.urlOption];
    const outcome = await resourcePoolInThread(args, { cwd, env: cache.env, input: list });
    const sent = cache.received.flatMap(({ present, removed }) => [
      ...present.map((key) => key.slice(0, 40)),
      ...removed,
    ]);
    yield { outcome, sent, name: file === "-" ? "stdin" : file };
  }
}

test.concurrent.each<[string, Buffer]>([
  ...Object.entries(ENCODINGS).map(
    ([name, encode]) => [name, encode(LINES.join("\r\n"))] as [string, Buffer],
  ),
  ["UTF-8 with line ends of CR only", Buffer.from(LINES.join("\r"))],
  ["UTF-16LE with line ends of CR only", utf16(`\ufeff${LINES.join("\r")}\r`)],
  ["UTF-8 files with byte order marks, joined", Buffer.from(LINES.map((line) => `\ufeff${line}\n`).join(""))],
])("imports and removes the resources of a list in %s", async (_, list) => {
  for await (const { outcome, sent } of runEach(list)) {
    expect(outcome).toMatchObject({ code: 3, stderr: expect.stringMatching(/^Line 6 is invalid: .*\n$/) });
    expect(sent).toEqual(NAMES.map(sha1Of));
  }
});

test.concurrent("names lines with NUL characters, and never sends them", async () => {
  const [one, two, three] = NAMES.map((name) => keyOf(name).replace(":", " "));
  const nul = "is invalid: it contains a NUL character. Is the file damaged, or no text?";
  // The last line was appended by PowerShell 5.1, in UTF-16LE.
  const list = Buffer.concat([Buffer.from(`${one}\n${two}\0\n${three}\n`), utf16(`${two}\n`)]);
  for await (const { outcome, sent } of runEach(list)) {
    expect(outcome).toMatchObject({ code: 3, stderr: `Line 2 ${nul}\nLine 4 ${nul}\nLine 5 ${nul}\n` });
    expect(sent).toEqual(["first", "third"].map(sha1Of));
  }
});

test.concurrent("names lines that are too long with their start, and goes on after them", async () => {
  const [one, two] = NAMES.map((name) => keyOf(name).replace(":", " "));
  const list = Buffer.from(`${one}\n${"\x1b[2J".repeat(2_500_000)}\n#${" ".repeat(70_000)}\n${two}\n`);
  for await (const { outcome, sent } of runEach(list)) {
    expect(outcome).toMatchObject({ code: 3 });
    expect(outcome.stderr).toBe(
      `Line 2 is invalid: it has 10,000,000 characters, more than 65,536: ${" [2J".repeat(10)}…\n`,
    );
    expect(sent).toEqual(["first", "second"].map(sha1Of));
  }
});

test.concurrent("skips a line of 200 MB in the memory for a short one", async () => {
  const [cwd, cache] = [await temporaryDirectory(), await startFakeCache()];
  // A sparse file, whose line consists of NUL characters.
  await writeFile(join(cwd, "list.txt"), "");
  await truncate(join(cwd, "list.txt"), 200_000_000);
  await appendFile(join(cwd, "list.txt"), `\n${keyOf("first").replace(":", " ")}\n`);
  const outcome = await resourcePool(["import", "list.txt", ...cache.urlOption], {
    cwd,
    env: { ...cache.env, NODE_OPTIONS: "--max-old-space-size=40" },
  });
  expect(outcome).toMatchObject({
    code: 3,
    stdout: "1 resource added, 0 already present, 0 skipped, 1 invalid\n",
    stderr: expect.stringMatching(
      /^Line 1 is invalid: it contains a NUL character\. Is the file damaged, or no text\?\n$/,
    ),
  });
});

test.concurrent("refuses compressed lists, and names the format", async () => {
  const zip = Buffer.from("504b0304140000000800", "hex");
  for (const [list, format] of [
    [gzipSync(LINES.join("\n")), "gzip"],
    [zip, "zip"],
  ] as const) {
    for await (const { outcome, sent, name } of runEach(list)) {
      expect(outcome).toMatchObject({
        code: 1,
        stdout: "",
        stderr: `Can't read ${name}: it is compressed with ${format}. Unpack it first.\n`,
      });
      expect(sent).toEqual([]);
    }
  }
});

test.concurrent.each([
  ["no bytes", "", 0],
  ["only a byte order mark", "\ufeff", 0],
  ["only comments", "# nothing\n\n", 0],
  ["only invalid lines", "cafe 12\nno such file\n", 2],
  ["only other paths", "12 /var/vcap/store/shared/cc-packages/da/39/x", 1],
])("exits with 3 for a list with %s, from each command, and prints what it lacks", async (_, list, lines) => {
  for await (const { outcome, sent, name } of runEach(Buffer.from(list))) {
    expect(outcome).toMatchObject({ code: 3, stdout: "" });
    const count = `${lines} line${lines === 1 ? "" : "s"}`;
    expect(outcome.stderr).toContain(
      lines === 0
        ? `${name} has no lines.`
        : `No resource found in ${name}, among ${count}. Expected lines like`,
    );
    expect(sent).toEqual([]);
  }
});

test.concurrent("removes what the arguments name although the list is empty, and exits with 3", async () => {
  const cache = await startFakeCache();
  const args = ["remove", sha1Of("first"), "--from", "-", ...cache.urlOption];
  expect(await resourcePoolInThread(args, { env: cache.env, input: "12 /not/a/blob" })).toMatchObject({
    code: 3,
    stdout: "0 resources removed, 1 not present, 1 skipped, 0 invalid\n",
    stderr: expect.stringMatching(/^No resource found in stdin, among 1 line\./),
  });
  expect(cache.received.flatMap(({ removed }) => removed)).toEqual([sha1Of("first")]);
});

async function linesOf(bytes: Buffer, chunkBytes: number): Promise<Line[]> {
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
  }
  const lines: Line[] = [];
  for await (const line of readLines(chunks(), "list")) lines.push(line);
  return lines;
}

test("reads the same lines from every encoding, line end and division into chunks", async () => {
  const lines = fc.array(
    fc.string({ unit: fc.constantFrom("a", "/", " ", "é", "文", "😀", "\u2028"), maxLength: 8 }),
    { maxLength: 8 },
  );
  const property = fc.asyncProperty(
    lines,
    fc.constantFrom("\n", "\r\n", "\r"),
    fc.constantFrom(...Object.values(ENCODINGS)),
    fc.integer({ min: 1, max: 9 }),
    async (lines, end, encode, chunkBytes) => {
      // Without a byte order mark, UTF-16 is recognised by two ASCII characters.
      const list = ["/a", ...lines].join(end);
      const expected = ["/a", ...lines].map((line, index) => ({ number: index + 1, text: line.trim() }));
      expect(await linesOf(encode(list), chunkBytes)).toEqual(expected.filter(({ text }) => text !== ""));
    },
  );
  await fc.assert(property, { numRuns: 500 });
});

test("imports a long list that ends without a line end", async () => {
  const [cache, keys] = [await startFakeCache(), makeNames(3_000).map(({ key }) => key)];
  const input = utf16(`\ufeff${keys.map((key) => key.replace(":", " ")).join("\r\n")}`);
  const outcome = await resourcePoolInThread(["import", "-", ...cache.urlOption], { env: cache.env, input });
  expect(outcome).toMatchObject({ code: 0 });
  expect(cache.present).toEqual(new Set(keys));
});
