/** Formats the current time as the v3 API does, without fractions of a second. */
export function timestamp(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}
