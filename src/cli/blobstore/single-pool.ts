import { parseBlobName } from "../../resources/blob-name.ts";
import { Exit } from "../terminal/exit.ts";

export class SecondPoolError extends Exit {
  constructor(root: string, otherRoot: string) {
    super(
      "failed",
      `There are two resource pools, below ${root || "its top"} and below ${otherRoot || "its top"}. One may be a ` +
        "backup, or another foundation's. Name the place of one of them.",
    );
  }
}

/** Parses names of blobs, and requires that all are of the same pool: a second pool would cause stale matches. */
export class SinglePool {
  #root: string | undefined;

  /**
   * @returns undefined if it is not the name of a blob of a resource pool
   * @throws SecondPoolError
   */
  sha1Of(name: string): string | undefined {
    const blob = parseBlobName(name);
    if (blob === undefined) return undefined;
    this.#root ??= blob.root;
    if (blob.root !== this.#root) throw new SecondPoolError(this.#root, blob.root);
    return blob.sha1;
  }
}
