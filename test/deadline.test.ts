import { expect, it } from "vitest";
import { Deadline, DeadlineExceeded } from "../src/time/deadline.ts";

it("a deadline that passed while only its signal was in use holds for what begins to wait later", async () => {
  const deadline = new Deadline(1);
  const { signal } = deadline;
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  const never = new Promise(() => {});
  await expect(deadline.race(never)).rejects.toThrow(DeadlineExceeded);
});
