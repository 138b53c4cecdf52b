import { base64url } from "jose";
import { hashKeys } from "../../src/bytes/keys.ts";
import { KEY_BYTES, KEY_SIZE } from "../../src/bytes/working-memory.ts";
import { deltaName, parseManifest, partName } from "../../src/cache/manifest.ts";
import { unpack } from "../../src/cache/packed-value.ts";
import { sha1Bytes } from "../../src/resources/sha1.ts";
import type { World } from "./world.ts";

type Values = Map<string, string | Uint8Array>;

/** Compares everything that KV stores with the reported pool. */
export class StorageChecker {
  readonly #world: World;
  readonly #errors: string[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  /** @returns a sentence for each difference */
  errors(): string[] {
    const { kv, prefix, prefixes, reported } = this.#world;
    const values: Values = new Map();
    for (const [name, value] of kv.contents()) {
      const owner = ownerOf(name, prefixes);
      if (owner === prefix) values.set(name.slice(prefix.length), value);
      else if (!this.#isRetired(name.slice(owner.length), value))
        this.#errors.push(`${name} is left over from a former KEY_PREFIX`);
    }
    const present = reported.present();
    const manifest = values.get("manifest");
    values.delete("manifest");
    if (manifest !== undefined) this.#checkPublished(String(manifest), values, present);
    else if (present.length > 0) this.#errors.push("the manifest is missing");
    this.#checkKeys(values, present);
    for (const name of values.keys()) this.#errors.push(`${name} is left over`);
    return this.#errors;
  }

  /** Compares snapshot and delta, and removes them from `values`. */
  #checkPublished(json: string, values: Values, present: readonly string[]): void {
    const manifest = parseManifest(json);
    if (manifest.state !== "current") {
      this.#errors.push("the manifest says that the prefix is retired");
      return;
    }
    const ageMs = this.#world.kernel.now - Date.parse(manifest.publishedAt);
    if (ageMs > 2 * 60 * 60 * 1000) this.#errors.push("the manifest is hours old");
    const reportable = this.#reportableKeys();
    const keys = new Map(
      [...hashesOf(reportable, manifest.secret)].map((hash, index) => [hash, reportable[index]]),
    );
    const keysOf = (hashes: BigUint64Array, name: string) =>
      [...hashes].flatMap((hash) => {
        const key = keys.get(hash);
        if (!key) this.#errors.push(`${name} has an entry that was never reported`);
        return key ?? [];
      });
    const read = (name: string) => {
      const value = values.get(name);
      values.delete(name);
      if (!(value instanceof Uint8Array)) {
        this.#errors.push(`${name} is missing`);
        return undefined;
      }
      return unpack(value.slice().buffer, name);
    };

    const published = new Set<string>();
    const { snapshot, delta } = manifest;
    for (let part = 0; part < (snapshot?.parts ?? 0); part++) {
      const name = partName(snapshot?.id ?? "", part);
      for (const key of keysOf(read(name)?.added ?? new BigUint64Array(), name)) published.add(key);
    }
    if (published.size !== (snapshot?.entries ?? 0)) {
      this.#errors.push(
        `the snapshot has ${published.size} entries, and the manifest says ${snapshot?.entries}`,
      );
    }
    if (delta) {
      const name = deltaName(delta.id);
      const packed =
        delta.packed === null
          ? read(name)
          : unpack(base64url.decode(delta.packed).buffer as ArrayBuffer, name);
      for (const key of keysOf(packed?.added ?? new BigUint64Array(), name)) published.add(key);
      for (const key of keysOf(packed?.removed ?? new BigUint64Array(), name)) published.delete(key);
    }
    for (const key of present)
      if (!published.delete(key)) this.#errors.push(`${key} is present and not published`);
    for (const key of published) this.#errors.push(`${key} is published and not present`);
  }

  /** Compares the keys, and removes them from `values`. */
  #checkKeys(values: Values, present: readonly string[]): void {
    for (const [name, value] of values) {
      if (!/^[0-9a-f]{40}:\d+$/.test(name)) continue;
      values.delete(name);
      if (value !== "1") this.#errors.push(`the key ${name} has the value ${value}`);
      if (!present.includes(name))
        this.#errors.push(`the key ${name} exists for a resource that is not present`);
    }
    const { kv, prefix, settings } = this.#world;
    // If there may be more files than keys a day, keys are written days later.
    if (Number(settings.variables.KEYS_PER_DAY ?? Infinity) < 100) return;
    const contents = kv.contents();
    for (const key of present)
      if (!contents.has(prefix + key)) this.#errors.push(`the key ${key} is missing`);
  }

  #isRetired(name: string, value: string | Uint8Array): boolean {
    return name === "manifest" && parseManifest(String(value)).state === "retired";
  }

  /** `<sha1>:<size>` of all resources that can have been reported. */
  #reportableKeys(): string[] {
    return this.#world.pool.files.flatMap(({ sha1, size }) => [`${sha1}:${size}`, `${sha1}:${size + 1}`]);
  }
}

function ownerOf(name: string, prefixes: ReadonlySet<string>): string {
  const owners = [...prefixes].filter((prefix) => name.startsWith(prefix));
  return owners.reduce((longest, prefix) => (prefix.length > longest.length ? prefix : longest), "");
}

function hashesOf(keys: readonly string[], secret: string): BigUint64Array {
  const rows = new Uint8Array(KEY_BYTES * keys.length);
  const view = new DataView(rows.buffer);
  keys.forEach((key, index) => {
    rows.set(sha1Bytes(key.slice(0, 40)), KEY_BYTES * index);
    view.setFloat64(KEY_BYTES * index + KEY_SIZE, Number(key.slice(41)), true);
  });
  return new BigUint64Array(hashKeys(rows, secret).buffer);
}
