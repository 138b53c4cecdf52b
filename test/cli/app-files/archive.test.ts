import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ZipFile } from "yazl";
import { archiveFiles } from "../../../src/cli/app-files/archive.ts";
import { sha1Of } from "../app.ts";
import { resourcePoolInThread, temporaryDirectory } from "../command.ts";

type Files = (readonly [name: string, content: string])[];

interface ZipOptions {
  compress?: boolean;
  /** Each entry has zip64 sizes. */
  zip64?: boolean;
  /** Checksum and size are after the content. */
  descriptors?: boolean;
}

async function zipOf(files: Files, { compress = false, zip64, descriptors }: ZipOptions = {}) {
  const zip = new ZipFile();
  for (const [name, content] of files) {
    const options = { compress, mode: 0o100644, forceZip64Format: zip64 ?? false };
    if (descriptors) zip.addReadStream(Readable.from([Buffer.from(content)]), name, options);
    else zip.addBuffer(Buffer.from(content), name, options);
  }
  zip.end({ forceZip64Format: zip64 ?? false, comment: "" });
  return buffer(zip.outputStream);
}

/** An archive with names that yazl refuses, and any number of entries, which is stored in 16 bits. */
function simpleZipOf(files: (readonly [name: string | Buffer, content: string])[]): Buffer {
  const locals: Buffer[] = [];
  const headers: Buffer[] = [];
  let offset = 0;
  for (const [path, text] of files) {
    const [name, content] = [Buffer.from(path as string), Buffer.from(text)];
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(name.length, 22);
    const ending = Buffer.alloc(14);
    ending.writeUInt32LE(offset, 10);
    locals.push(Buffer.from("PK\x03\x04"), common, name, content);
    headers.push(Buffer.from("PK\x01\x02\x14\0"), common, ending, name);
    offset += 30 + name.length + content.length;
  }
  const directory = Buffer.concat(headers);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06");
  end.writeUInt16LE(files.length % 2 ** 16, 8);
  end.writeUInt16LE(files.length % 2 ** 16, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

const FILES: Files = [
  ["META-INF/MANIFEST.MF", "Manifest-Version: 1.0"],
  ["a.class", "class ".repeat(50_000)],
  ["a.class", "an entry with the same name"],
];
const EXPECTED = FILES.map(([path, content]) => ({ path, sha1: sha1Of(content) }));

/** Runs `add --dry-run` for an archive in a process, and reads its files. */
async function read(zip: Buffer) {
  const directory = await temporaryDirectory();
  const path = join(directory, "app.jar");
  await writeFile(path, zip);
  const args = ["add", "app.jar", "--dry-run", "--json", "--url", "http://127.0.0.1:9", "--token", "t"];
  const outcome = await resourcePoolInThread(args, { cwd: directory });
  const files: object[] = [];
  if (outcome.code === 0) {
    for await (const { path: name, ...file } of archiveFiles(path)) {
      files.push({ path: name, sha1: "sha1" in file ? file.sha1 : file.kind });
    }
  }
  return { ...outcome, files };
}

test.concurrent.each<[string, () => Promise<Buffer>]>([
  ["entries are stored", () => zipOf(FILES)],
  ["entries are compressed", () => zipOf(FILES, { compress: true })],
  ["entries have zip64 sizes", () => zipOf(FILES, { zip64: true })],
  ["entries have data descriptors", () => zipOf(FILES, { descriptors: true, compress: true })],
  ["it begins with a script", async () => Buffer.concat([Buffer.from("#!/bin/sh\n"), await zipOf(FILES)])],
  ["other bytes follow", async () => Buffer.concat([await zipOf(FILES), Buffer.alloc(5_000)])],
  [
    "the offsets count from the start of the script",
    async () => {
      const script = Buffer.from("#!/bin/sh\nexit\n");
      const zip = Buffer.concat([script, await zipOf(FILES)]);
      const end = zip.lastIndexOf("PK\x05\x06");
      for (let at = zip.indexOf("PK\x01\x02"); at >= 0; at = zip.indexOf("PK\x01\x02", at + 1)) {
        zip.writeUInt32LE(zip.readUInt32LE(at + 42) + script.length, at + 42);
      }
      zip.writeUInt32LE(zip.readUInt32LE(end + 16) + script.length, end + 16);
      return zip;
    },
  ],
])("reads each entry of an archive, also two with the same name, when %s", async (_, makeZip) => {
  const { code, stdout, files } = await read(await makeZip());
  expect({ code, files }).toEqual({ code: 0, files: EXPECTED });
  expect(JSON.parse(stdout)).toMatchObject({ found: FILES.length, unreadable: 0 });
});

test("reads entries with names that could not be unpacked: absolute, outside, with a drive or backslashes", async () => {
  const names = ["/abs.pom", "../rel.pom", "C:/x", "a\\b.txt", "..\\..\\x", "//e", ".", "new\nline", "nul\0"];
  const { code, files } = await read(simpleZipOf(names.map((name) => [name, `content of ${name}`])));
  expect(code).toBe(0);
  expect(files).toEqual(names.map((path) => ({ path, sha1: sha1Of(`content of ${path}`) })));
});

test("reads an entry whose name is any bytes", async () => {
  const path = join(await temporaryDirectory(), "any.zip");
  const name = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes));
  await fc.assert(
    fc.asyncProperty(name, async (bytes) => {
      await writeFile(path, simpleZipOf([[bytes, "content"]]));
      const files: string[] = [];
      for await (const file of archiveFiles(path)) files.push(file.path);
      // A name that ends in a slash is a directory's.
      expect(files).toEqual(bytes.at(-1) === 0x2f ? [] : [bytes.toString()]);
    }),
    { numRuns: 60 },
  );
});

test("skips an entry that only MS-DOS attributes mark as a directory", async () => {
  const zip = await zipOf([["folder", ""], ...FILES]);
  const header = zip.indexOf("PK\x01\x02");
  zip.writeUInt8(0, header + 5);
  zip.writeUInt32LE(0x10, header + 38);
  expect(await read(zip)).toMatchObject({ code: 0, files: EXPECTED });
});

test("reads all entries when there are more than 65,535 and the archive is not in zip64 format", async () => {
  const directories = Array.from({ length: 2 ** 16 }, (_, index) => [`d${index}/`, ""] as const);
  expect(await read(simpleZipOf([...directories, ...FILES]))).toMatchObject({ code: 0, files: EXPECTED });
});

test.concurrent.each<[string, (zip: Buffer) => Buffer, string]>([
  [
    "an encrypted entry",
    (zip) => {
      const header = zip.indexOf("PK\x01\x02");
      zip.writeUInt16LE(1, header + 8);
      zip.write("encrypted bytes", zip.indexOf("Manifest-Version"));
      return zip;
    },
    "the entry META-INF/MANIFEST.MF is encrypted",
  ],
  [
    "an entry that bzip2 compressed",
    (zip) => {
      zip.writeUInt16LE(12, zip.indexOf("PK\x01\x02") + 10);
      return zip;
    },
    "the entry META-INF/MANIFEST.MF can't be read: cf push can't read the compression method 12",
  ],
  [
    "an entry with a wrong size",
    (zip) => {
      zip.writeUInt32LE(20, zip.indexOf("PK\x01\x02") + 24);
      return zip;
    },
    "the entry META-INF/MANIFEST.MF can't be read: its size is wrong",
  ],
  [
    "an entry without a header",
    (zip) => {
      zip.writeUInt32LE(7, zip.indexOf("PK\x01\x02") + 42);
      return zip;
    },
    "the entry META-INF/MANIFEST.MF can't be read: it has no header",
  ],
  [
    "a list of entries that is too short",
    (zip) => {
      const end = zip.lastIndexOf("PK\x05\x06");
      zip.writeUInt16LE(FILES.length + 1, end + 10);
      return zip;
    },
    "it is damaged: its list of entries is incomplete",
  ],
  [
    "a truncated file",
    (zip) => zip.subarray(0, -30),
    "its list of entries is missing. It is truncated, or has more than 65 KB of other bytes before or after the " +
      "archive. cf push can't read it",
  ],
  ["no entry", (zip) => zip.subarray(-22), "it is no zip archive, or has no entries"],
  ["no content", () => Buffer.alloc(0), "it is no zip archive, or has no entries"],
])("names the archive and the fault when it has %s", async (_, damage, message) => {
  expect(await read(damage(await zipOf(FILES)))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`Can't read app.jar: ${message}\n`),
  });
});

test.concurrent("warns of an archive that cf push refuses: a name with two contents, or a single entry", async () => {
  expect(await read(await zipOf(FILES))).toMatchObject({
    code: 0,
    stderr: expect.stringContaining(
      "app.jar has a.class twice, with different contents: cf push fails if it has to upload one.\n",
    ),
  });
  expect(await read(await zipOf(FILES.slice(0, 1)))).toMatchObject({
    code: 0,
    stderr: expect.stringContaining("cf push refuses app.jar: an archive needs at least two entries.\n"),
  });
});
