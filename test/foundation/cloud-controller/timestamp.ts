/** The time as the v3 API writes it: without fractions of a second. */
export function timestamp(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}
