/**
 * The section of a version in CHANGELOG.md, without its heading.
 *
 * @param version of a release, or undefined for what is not released yet
 * @throws if the section is missing or empty
 */
export function releaseNotes(changelog: string, version: string | undefined): string {
  const heading = version === undefined ? /^Unreleased$/ : /^(\S+) \(\d{4}-\d{2}-\d{2}\)$/;
  for (const section of changelog.split(/^## /m)) {
    const [title = "", ...lines] = section.split("\n");
    const notes = lines.join("\n").trim();
    if (heading.exec(title)?.[1] === version && heading.test(title) && notes !== "") return `${notes}\n`;
  }
  const expected = version === undefined ? "Unreleased" : `${version} (<year>-<month>-<day>)`;
  throw new Error(`CHANGELOG.md has no section "## ${expected}", or it is empty.`);
}
