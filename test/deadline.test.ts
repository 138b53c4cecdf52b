import { expect, it } from "vitest";
import { Deadline, DeadlineExceeded } from "../src/time/deadline.ts";

it("rejects a race that starts after the signal of the deadline has aborted", async () => {
  const deadline = new Deadline(1);
  const { signal } = deadline;
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  const never = new Promise(() => {});
  await expect(deadline.race(never)).rejects.toThrow(DeadlineExceeded);
});
