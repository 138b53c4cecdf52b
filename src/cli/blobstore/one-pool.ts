import { parseBlobName } from "../../resources/blob-name.ts";
import { Exit } from "../terminal/exit.ts";

/** Two pools lie in one place. */
export class TwoPools extends Exit {
  constructor(roots: readonly [string, string]) {
    const [one, other] = roots.map((root) => (root === "" ? "its top" : root));
    super(
      "failed",
      `Two resource pools lie there, one below ${one} and another below ${other}: a backup, or another foundation's. ` +
        "Name the place of one.",
    );
  }
}

/**
 * Finds the blobs of a resource pool among names, and refuses those of a second one: together they would say of either
 * that it holds what the other does.
 */
export class OnePool {
  #root: string | undefined;

  /**
   * @returns the SHA-1 of a blob; undefined for what is none
   * @throws TwoPools
   */
  sha1Of(name: string): string | undefined {
    const blob = parseBlobName(name);
    if (blob === undefined) return undefined;
    this.#root ??= blob.root;
    if (blob.root !== this.#root) throw new TwoPools([this.#root, blob.root]);
    return blob.sha1;
  }
}
