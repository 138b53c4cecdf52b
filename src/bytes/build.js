/**
 * Compiles `assembly/` to `module.wasm`. The module contains the digest of its sources, so that it is compiled only if they
 * change. Run by wrangler (`[build]` in wrangler.toml), the tests and the benchmark.
 */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = dirname(fileURLToPath(import.meta.url));
const SOURCE = join(FOLDER, "assembly");
const MODULE = join(FOLDER, "module.wasm");
// biome-ignore format: an option and its value belong on one line
const OPTIONS = [
  "--optimizeLevel", "3", "--shrinkLevel", "0", "--noAssert",
  "--runtime", "stub", "--enable", "simd", "--use", "abort=",
];
const DIGEST_BYTES = 32;

await build();

async function build() {
  const names = (await readdir(SOURCE)).filter((name) => name.endsWith(".ts")).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(SOURCE, name), "utf8")));
  const { version } = createRequire(import.meta.url)("assemblyscript/package.json");
  const digest = createHash("sha256")
    .update(JSON.stringify([version, OPTIONS, names, texts]))
    .digest();
  const built = await readFile(MODULE).catch(() => Buffer.alloc(0));
  if (built.subarray(-DIGEST_BYTES).equals(digest)) return;

  // Renamed at the end, so that a concurrent reader finds the old module or the new one.
  const folder = await mkdtemp(join(FOLDER, ".build-"));
  try {
    const binary = await compile(folder);
    await writeFile(join(folder, "signed.wasm"), Buffer.concat([binary, customSection("source", digest)]));
    await rename(join(folder, "signed.wasm"), MODULE);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** @param {string} folder for the compiler's output */
async function compile(folder) {
  const { main } = await import("assemblyscript/asc");
  const outFile = join(folder, "module.wasm");
  const { error, stderr } = await main([join(SOURCE, "index.ts"), "--outFile", outFile, ...OPTIONS]);
  if (error) throw new Error(`${error.message}\n${stderr}`);
  return readFile(outFile);
}

/**
 * A custom section, which engines ignore.
 *
 * @param {string} name shorter than 128 bytes, as is the content
 * @param {Buffer} content
 */
function customSection(name, content) {
  const payload = Buffer.concat([Buffer.of(name.length), Buffer.from(name), content]);
  return Buffer.concat([Buffer.of(0, payload.length), payload]);
}
