import type { TruePool } from "../pool.ts";
import type { Kernel } from "./kernel.ts";
import { callRemote } from "./remote.ts";

export interface R2Fault {
  from: number;
  until: number;
  how: "fail" | "hang";
}

/** The name that the Cloud Controller gives to the blob of a file. */
export function blobName(sha1: string): string {
  return `app_bits_cache/${sha1.slice(0, 2)}/${sha1.slice(2, 4)}/${sha1}`;
}

/** The bucket that stores the pool. It is strongly consistent. */
export class Bucket {
  readonly #kernel: Kernel;
  readonly #pool: TruePool;
  readonly faults: R2Fault[] = [];

  constructor(kernel: Kernel, pool: TruePool) {
    this.#kernel = kernel;
    this.#pool = pool;
  }

  binding() {
    return { head: (name: string) => this.#head(name) };
  }

  #head(name: string): Promise<{ key: string; size: number } | null> {
    const random = this.#kernel.random.fork(`r2 ${this.#kernel.now}`);
    return callRemote(this.#kernel, (reply, caller) => {
      const { now } = this.#kernel;
      const fault = this.faults.find(({ from, until }) => from <= now && now < until);
      if (fault?.how === "hang") return;
      this.#kernel.after(random.integer(1, 400), () => {
        if (fault) return reply({ error: new Error("head: Internal error; please try again. (10001)") });
        const file = this.#pool.files.find(({ sha1 }) => blobName(sha1) === name);
        const isPresent = file !== undefined && this.#pool.has(file.sha1);
        this.#kernel.note(`${caller.name}: r2 head ${name} → ${isPresent ? "present" : "missing"}`);
        const object = isPresent ? { key: name, size: file.size } : null;
        this.#kernel.after(random.integer(1, 400), () => reply({ value: object }));
      });
    });
  }
}

export function sha1OfBlobName(name: string): string | undefined {
  return name.startsWith("app_bits_cache/") ? name.slice(-40) : undefined;
}
