import { hash } from "node:crypto";

/** A file of an app as cf CLI sends it. */
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

/** Returns the SHA-1 of the pool's `index`th file. It is the same in each run. */
export function sha1At(index: number): string {
  return hash("sha1", `file ${index}`);
}

/** Returns the size of the pool's `index`th file in bytes: a few hundred to a million. */
export function sizeAt(index: number): number {
  return 200 + ((index * 7919) % 997) ** 2;
}

/** Returns the pool's `index`th file as a resource of an app. */
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

/** The minimum size of a stock foundation. */
export const STOCK_MINIMUM_BYTES = 65_536;
/** Share of smaller files in an app with node_modules. */
export const STOCK_SMALL_SHARE = 0.9;

interface AppOptions {
  /** Share of files that are in the pool, 0 to 1. */
  presentShare?: number;
  /** Share of files that are smaller than the minimum size of a stock foundation, 0 to 1. */
  smallShare?: number;
  /** Apps of different rounds have different files. */
  round?: number;
}

/**
 * Creates the files of an app, spread over the whole pool.
 *
 * @param pool number of files in the pool
 */
export function createApp(
  files: number,
  pool: number,
  { presentShare = 0.9, smallShare = 0, round = 0 }: AppOptions = {},
): SentResource[] {
  const stride = Math.max(1, Math.floor(pool / files));
  return Array.from({ length: files }, (_, index) => {
    // Multiples of the golden ratio are spread evenly, so that every part of the app has the same share.
    const isPresent = (index * 0.618034) % 1 < presentShare;
    const resource = resourceAt(
      isPresent ? (index * stride + round * 13) % pool : pool + round * files + index,
    );
    const isSmall = (index * 0.414214) % 1 < smallShare;
    return isSmall ? { ...resource, size_in_bytes: (index * 7919) % STOCK_MINIMUM_BYTES } : resource;
  });
}
