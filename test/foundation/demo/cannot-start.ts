/** The demo can't run. The message is printed without a stack. */
export class CannotStart extends Error {
  override name = "CannotStart";
}
