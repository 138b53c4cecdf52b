/**
 * Whether an Accept header (RFC 9110, section 12.5.1) gives HTML a higher weight than JSON, as browsers do. JSON wins a tie: curl, for
 * example, accepts any type.
 */
export function prefersHtml(accept: string | null): boolean {
  const qualities = new Map((accept ?? "").split(",").map(parseMediaRange));
  // The most specific range counts.
  const qualityOf = (type: string, subtype: string) =>
    qualities.get(`${type}/${subtype}`) ?? qualities.get(`${type}/*`) ?? qualities.get("*/*") ?? 0;
  return qualityOf("text", "html") > qualityOf("application", "json");
}

/** @returns the type in lower case, such as `text/html` or `text/*`, and its weight, 0 to 1 */
function parseMediaRange(text: string): [type: string, quality: number] {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice("q=".length) ?? "1";
  // An invalid weight counts as 0, so that the response is JSON.
  return [type, /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(weight) ? Number(weight) : 0];
}
