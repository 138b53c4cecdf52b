/**
 * Whether an Accept header (RFC 9110, section 12.5.1) would rather have HTML than JSON, as browsers' do. Whoever takes
 * both alike gets JSON: curl and the command say that anything will do, or nothing.
 */
export function prefersHtml(accept: string | null): boolean {
  if (accept === null) return false;
  const ranges = accept.split(",").map(parseRange);
  return quality(ranges, "text", "html") > quality(ranges, "application", "json");
}

interface Range {
  /** `text/html`, `text/*`; in lower case. */
  type: string;
  quality: number;
}

function parseRange(text: string): Range {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice("q=".length) ?? "1";
  // What is no weight has none: then JSON is the answer.
  return { type, quality: /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(weight) ? Number(weight) : 0 };
}

/** The most specific range that fits counts, whatever its weight. */
function quality(ranges: readonly Range[], type: string, subtype: string): number {
  for (const fitting of [`${type}/${subtype}`, `${type}/*`, "*/*"]) {
    const range = ranges.find((each) => each.type === fitting);
    if (range) return range.quality;
  }
  return 0;
}
