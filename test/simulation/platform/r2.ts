import type { TruePool } from "../pool.ts";
import type { Kernel } from "./kernel.ts";
import { askRemotely } from "./remote.ts";

export interface R2Trouble {
  from: number;
  until: number;
  how: "fail" | "hang";
}

/** The name of a file's blob in the bucket, as the Cloud Controller writes it. */
export function blobName(sha1: string): string {
  return `app_bits_cache/${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`;
}

/** The bucket in which the pool lies: strongly consistent, and sometimes out of order. */
export class Bucket {
  readonly #kernel: Kernel;
  readonly #pool: TruePool;
  readonly troubles: R2Trouble[] = [];

  constructor(kernel: Kernel, pool: TruePool) {
    this.#kernel = kernel;
    this.#pool = pool;
  }

  binding() {
    return { head: (name: string) => this.#head(name) };
  }

  #head(name: string): Promise<{ key: string; size: number } | null> {
    const random = this.#kernel.random.fork(`r2 ${this.#kernel.now}`);
    return askRemotely(this.#kernel, (answer, invocation) => {
      const { now } = this.#kernel;
      const trouble = this.troubles.find(({ from, until }) => from <= now && now < until);
      if (trouble?.how === "hang") return;
      this.#kernel.after(random.integer(1, 400), () => {
        if (trouble) return answer({ error: new Error("head: Internal error; please try again. (10001)") });
        const file = this.#pool.files.find(({ sha1 }) => blobName(sha1) === name);
        const isThere = file !== undefined && this.#pool.has(file.sha1);
        this.#kernel.note(`${invocation.name}: r2 head ${name} → ${isThere ? "there" : "not there"}`);
        const object = isThere ? { key: name, size: file.size } : null;
        this.#kernel.after(random.integer(1, 400), () => answer({ value: object }));
      });
    });
  }
}

export function sha1OfBlobName(name: string): string | undefined {
  return name.startsWith("app_bits_cache/") ? name.slice(-40) : undefined;
}
