import { describe, expect, it } from "vitest";
import { Model } from "./model.ts";

/** Told held from 100 to 110, and removed from 500 to 510. */
function told(): Model {
  const model = new Model(2);
  model.tell(0, { from: 100, to: 110, isPresent: true });
  model.tell(0, { from: 500, to: 510, isPresent: false });
  return model;
}

describe("what the load's model lets an answer say", () => {
  it.each([
    ["before it was told", 0, 99, false],
    ["while it is told", 0, 105, true],
    ["while it leaves", 505, 600, true],
    ["after it has left", 511, 600, false],
  ])("a yes %s", (_, from, to, may) => {
    expect(told().mayHaveBeenHeld(0, from, to)).toBe(may);
    expect(told().mayHaveBeenHeld(1, from, to)).toBe(false);
  });

  it.each([
    ["before all of it was told", 105, 200, false],
    ["in between", 110, 500, true],
    ["since it leaves", 110, 501, false],
  ])("a no that is missed %s", (_, from, to, must) => {
    expect(told().wasPresent(0, from, to)).toBe(must);
  });

  it("what was told long ago counts as if nothing had been before", () => {
    const model = told();
    model.longAgo(0);
    expect(model.mayHaveBeenHeld(0, 0, 600)).toBe(false);
  });
});
