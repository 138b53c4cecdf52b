import { formatCount } from "../../format.ts";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { countUnreadable, type NotAdded, type Place, type StoredObject } from "./stored-object.ts";

/** A page of a listing, as S3 and Azure return it. Servers that imitate them may leave out any part. */
export interface Page {
  objects: readonly { name?: string | undefined; size?: number | undefined }[];
  /** The number of objects in the page, if the server returned it. */
  count?: number | undefined;
  /** Whether there are more pages; undefined if the server did not return it. */
  isTruncated: boolean | undefined;
  /** The token for the next page: undefined or empty if there is none. */
  next: string | undefined;
}

/**
 * Reads a listing page by page. If it ends early or repeats itself, the objects that were read are used, and the rest
 * counts as unreadable.
 *
 * @param pages requested one after the other, until a page has no token
 * @throws Error if not even the first page can be read
 */
export async function* readPages(
  pages: AsyncIterable<Page>,
  { location, prefix }: Place,
  counts: NotAdded,
): AsyncGenerator<StoredObject> {
  // A page is recognised by its first name: in a listing no name occurs twice. Not every server lists in the order of names.
  const firstNames = new Set<string>();
  const tokens = new Set<string>();
  let pageCount = 0;
  let objectCount = 0;
  const stopEarly = (reason: string) =>
    countUnreadable(
      counts,
      `The listing of ${location} is incomplete. It ended after ${formatCount(objectCount, "object")}: ${reason}.`,
    );
  try {
    for await (const { objects, count = 0, isTruncated, next } of pages) {
      pageCount += 1;
      const [first] = objects;
      if (first?.name !== undefined) {
        if (firstNames.has(first.name)) return stopEarly("the server returned a page for the second time");
        firstNames.add(first.name);
      }

      let unusable = Math.max(0, count - objects.length);
      for (const { name, size } of objects) {
        objectCount += 1;
        if (name === undefined || !isSize(size)) unusable += 1;
        // Some servers ignore the prefix.
        else if (!name.startsWith(prefix)) counts.skipped += 1;
        else yield { name, size };
      }
      if (unusable > 0) {
        const objects = formatCount(unusable, "object");
        countUnreadable(
          counts,
          `The listing of ${location} is incomplete. Page ${pageCount} has ${objects} without a name or a size.`,
        );
      }

      if (next) {
        if (tokens.has(next)) return stopEarly("the server returned the same token for the next page twice");
        tokens.add(next);
      } else if (isTruncated !== false) {
        return stopEarly(
          isTruncated
            ? "the server has more, but returned no token for the next page"
            : "the server did not return whether there are more",
        );
      }
    }
  } catch (error) {
    const message = `Can't list ${location}: ${reasonOf(error)}`;
    if (pageCount === 0) throw new Exit("failed", message);
    countUnreadable(
      counts,
      `${message}\nThe listing is incomplete. It ended after ${formatCount(objectCount, "object")}.`,
    );
  }
}

function isSize(size: number | undefined): size is number {
  return Number.isSafeInteger(size) && Number(size) >= 0;
}
