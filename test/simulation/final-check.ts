import { hashKeys } from "../../src/bytes/keys.ts";
import { KEY_BYTES, KEY_SIZE } from "../../src/bytes/workspace.ts";
import { deltaName, parseManifest, partName } from "../../src/cache/manifest.ts";
import { unpack } from "../../src/cache/packed-value.ts";
import { sha1Bytes } from "../../src/resources/sha1.ts";
import type { Violation } from "./judge.ts";
import type { World } from "./world.ts";

type Finding = Pick<Violation, "rule" | "text">;

/** Reads everything that lies in KV, and compares it with what was told. */
export class FinalCheck {
  readonly #world: World;
  readonly #findings: Finding[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  findings(): Finding[] {
    const { kv, prefix, prefixes, told } = this.#world;
    const contents = kv.contents();
    const mine = new Map<string, string | Uint8Array>();
    for (const [name, value] of contents) {
      const owner = ownerOf(name, prefixes);
      if (owner === prefix) mine.set(name.slice(prefix.length), value);
      else if (!this.#isRetired(name.slice(owner.length), value))
        this.#inconsistent(`${name} is left over of an old KEY_PREFIX`);
    }
    const present = told.present();
    const manifest = mine.get("manifest");
    mine.delete("manifest");
    if (manifest === undefined) {
      if (present.length > 0) this.#inconsistent("there is no manifest");
    } else {
      this.#checkPacked(String(manifest), mine, present);
    }
    this.#checkKeys(mine, present);
    for (const name of mine.keys()) this.#inconsistent(`${name} is left over`);
    return this.#findings;
  }

  #checkPacked(json: string, values: Map<string, string | Uint8Array>, present: readonly string[]): void {
    const manifest = parseManifest(json);
    if (manifest.state !== "current") {
      this.#inconsistent("the manifest says that the prefix is retired");
      return;
    }
    const age = this.#world.kernel.now - Date.parse(manifest.publishedAt);
    if (age > 2 * 60 * 60 * 1000) this.#inconsistent("the manifest is hours old");
    const named = this.#everNamed();
    const names = new Map(
      [...entriesOf(named, manifest.secret)].map((entry, index) => [entry, named[index]]),
    );
    const keysOf = (entries: BigUint64Array, where: string) =>
      [...entries].flatMap((entry) => {
        const key = names.get(entry);
        if (!key) this.#inconsistent(`${where} has an entry that nobody ever told of`);
        return key ?? [];
      });
    const read = (name: string) => {
      const value = values.get(name);
      values.delete(name);
      if (!(value instanceof Uint8Array)) {
        this.#inconsistent(`${name} is missing`);
        return undefined;
      }
      return unpack(value.slice().buffer, name);
    };

    const published = new Set<string>();
    const { snapshot, delta: changes } = manifest;
    for (let part = 0; part < (snapshot?.parts ?? 0); part++) {
      const name = partName(snapshot?.id ?? "", part);
      for (const key of keysOf(read(name)?.added ?? new BigUint64Array(), name)) published.add(key);
    }
    if (published.size !== (snapshot?.entries ?? 0)) {
      this.#inconsistent(
        `the snapshot has ${published.size} entries, its manifest says ${snapshot?.entries}`,
      );
    }
    if (changes) {
      const name = deltaName(changes.id);
      const packed = read(name);
      for (const key of keysOf(packed?.added ?? new BigUint64Array(), name)) published.add(key);
      for (const key of keysOf(packed?.removed ?? new BigUint64Array(), name)) published.delete(key);
    }
    for (const key of present)
      if (!published.delete(key)) this.#inconsistent(`${key} is present, and not published`);
    for (const key of published) this.#inconsistent(`${key} is published, and not present`);
  }

  #checkKeys(values: Map<string, string | Uint8Array>, present: readonly string[]): void {
    for (const [name, value] of values) {
      if (!/^[0-9a-f]{40}:\d+$/.test(name)) continue;
      values.delete(name);
      if (value !== "1") this.#inconsistent(`the key ${name} is ${value}`);
      if (!present.includes(name))
        this.#inconsistent(`the key ${name} is there, and its resource is not present`);
    }
    const { kv, prefix, settings } = this.#world;
    // Fewer a day than there may be files: keys follow in days.
    if (Number(settings.variables.KEYS_PER_DAY ?? Infinity) < 100) return;
    const contents = kv.contents();
    for (const key of present)
      if (!contents.has(prefix + key)) this.#inconsistent(`the key ${key} is lacking`);
  }

  #isRetired(name: string, value: string | Uint8Array): boolean {
    return name === "manifest" && parseManifest(String(value)).state === "retired";
  }

  /** Every resource that anybody may have told of. */
  #everNamed(): string[] {
    return this.#world.pool.files.flatMap(({ sha1, size }) => [`${sha1}:${size}`, `${sha1}:${size + 1}`]);
  }

  #inconsistent(text: string): void {
    this.#findings.push({ rule: "inconsistent cache", text });
  }
}

function ownerOf(name: string, prefixes: ReadonlySet<string>): string {
  const owners = [...prefixes].filter((prefix) => name.startsWith(prefix));
  return owners.reduce((longest, prefix) => (prefix.length > longest.length ? prefix : longest), "");
}

function entriesOf(keys: readonly string[], secret: string): BigUint64Array {
  const rows = new Uint8Array(KEY_BYTES * keys.length);
  const view = new DataView(rows.buffer);
  keys.forEach((key, index) => {
    rows.set(sha1Bytes(key.slice(0, 40)), KEY_BYTES * index);
    view.setFloat64(KEY_BYTES * index + KEY_SIZE, Number(key.slice(41)), true);
  });
  return new BigUint64Array(hashKeys(rows, secret).buffer);
}
