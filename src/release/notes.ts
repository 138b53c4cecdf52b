/**
 * The section of a version in CHANGELOG.md, without its heading.
 *
 * @param version of a release, or undefined for what is not released yet: nothing, after a release
 * @throws if the section is missing, or a release's is empty
 */
export function releaseNotes(changelog: string, version: string | undefined): string {
  for (const section of changelog.split(/^## /m)) {
    const [title = "", ...lines] = section.split("\n");
    const notes = lines.join("\n").trim();
    if (version === undefined ? title === "Unreleased" : versionOf(title) === version && notes !== "")
      return `${notes}\n`;
  }
  throw new Error(
    version === undefined
      ? 'CHANGELOG.md has no section "## Unreleased". Add it at the top.'
      : `CHANGELOG.md has no section "## ${version} (<year>-<month>-<day>)", or it is empty.`,
  );
}

function versionOf(title: string): string | undefined {
  return /^(\S+) \(\d{4}-\d{2}-\d{2}\)$/.exec(title)?.[1];
}
