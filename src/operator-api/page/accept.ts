/**
 * Whether an Accept header (RFC 9110, section 12.5.1) gives HTML a higher weight than JSON, as browsers do. JSON wins a tie: curl, for
 * example, accepts any type.
 */
export function prefersHtml(accept: string | null): boolean {
  if (accept === null) return false;
  const ranges = accept.split(",").map(parseMediaRange);
  return findQuality(ranges, "text", "html") > findQuality(ranges, "application", "json");
}

interface MediaRange {
  /** `text/html`, `text/*`; in lower case. */
  type: string;
  /** 0 to 1. */
  quality: number;
}

function parseMediaRange(text: string): MediaRange {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice("q=".length) ?? "1";
  // An invalid weight counts as 0, so that the response is JSON.
  return { type, quality: /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(weight) ? Number(weight) : 0 };
}

/** The quality of the most specific range that includes the type; 0 if none does. */
function findQuality(ranges: readonly MediaRange[], type: string, subtype: string): number {
  for (const candidate of [`${type}/${subtype}`, `${type}/*`, "*/*"]) {
    const range = ranges.find((each) => each.type === candidate);
    if (range) return range.quality;
  }
  return 0;
}
