import { hash } from "node:crypto";

/** One file of an app, as cf CLI sends it. */
export interface SentResource {
  path: string;
  mode: string;
  checksum: { value: string };
  size_in_bytes: number;
}

const PACKAGES = [
  "@babel/core",
  "lodash",
  "core-js",
  "@types/node",
  "rxjs",
  "typescript",
  "caniuse-lite",
  "ajv",
];
const FOLDERS = ["lib", "dist/esm/internal", "src", "modules/features/array", "build/cjs"];
const FILES = ["index.js", "index.d.ts", "package.json", "README.md", "compileSchema.js.map", "LICENSE"];

/** The SHA-1 of the pool's `index`th file: spread as real ones are, and the same in each run. */
export function sha1At(index: number): string {
  return hash("sha1", `file ${index}`);
}

/** The size of the pool's `index`th file in bytes: a few hundred to a few hundred thousand. */
export function sizeAt(index: number): number {
  return 200 + ((index * 7919) % 997) ** 2;
}

/** The pool's `index`th file as it lies in an app. */
export function resourceAt(index: number): SentResource {
  const at = <T>(choice: readonly T[], step: number) => choice[Math.floor(index / step) % choice.length] as T;
  const folder = `${at(FOLDERS, FILES.length)}/${Math.floor(index / (FILES.length * FOLDERS.length)) % 100}`;
  return {
    path: `node_modules/${at(PACKAGES, 30)}/${folder}/${at(FILES, 1)}`,
    mode: index % 50 === 0 ? "755" : "644",
    checksum: { value: sha1At(index) },
    size_in_bytes: sizeAt(index),
  };
}

/** What a stock foundation matches has so many bytes or more. */
export const STOCK_MINIMUM_BYTES = 65_536;
/** Of an app's files, mostly those of node_modules, so many are smaller. */
export const STOCK_SMALL_SHARE = 0.9;

interface AppOptions {
  /** How many of the app's files the pool holds, 0 to 1. */
  presentShare?: number;
  /** How many of them are smaller than what a stock foundation matches, 0 to 1. */
  smallShare?: number;
  /** Makes apps differ. */
  round?: number;
}

/**
 * The files of an app.
 *
 * @param pool the number of files that the pool holds; the app's are taken from all over it
 */
export function app(
  files: number,
  pool: number,
  { presentShare: heldShare = 0.9, smallShare = 0, round = 0 }: AppOptions = {},
): SentResource[] {
  const stride = Math.max(1, Math.floor(pool / files));
  return Array.from({ length: files }, (_, index) => {
    // The golden ratio's multiples spread evenly, so that every stretch of the app has the same share.
    const isPresent = (index * 0.618034) % 1 < heldShare;
    const resource = resourceAt(
      isPresent ? (index * stride + round * 13) % pool : pool + round * files + index,
    );
    const isSmall = (index * 0.414214) % 1 < smallShare;
    return isSmall ? { ...resource, size_in_bytes: (index * 7919) % STOCK_MINIMUM_BYTES } : resource;
  });
}
