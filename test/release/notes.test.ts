import { describe, expect, it } from "vitest";
import { releaseNotes } from "../../src/release/notes.ts";

const CHANGELOG = `# Changelog

## Unreleased

- Third.

## 1.10.0 (2027-02-01)

- Second.

### Details

- More.

## 1.1.0 (2027-01-01)

`;

describe("the notes of a release", () => {
  it("are the section of its version, with its subsections", () => {
    expect(releaseNotes(CHANGELOG, "1.10.0")).toBe("- Second.\n\n### Details\n\n- More.\n");
    expect(releaseNotes(CHANGELOG, undefined)).toBe("- Third.\n");
  });

  it("are empty without a tag after a release, when nothing is unreleased", () => {
    expect(releaseNotes(CHANGELOG.replace("- Third.", ""), undefined)).toBe("\n");
  });

  it("are the section of a pre-release", () => {
    expect(releaseNotes(CHANGELOG.replace("1.10.0", "1.10.0-rc.1"), "1.10.0-rc.1")).toMatch(/^- Second\./);
  });

  it.each(["1.1.0", "1.10", "Unreleased"])(
    "are refused for %s: the section is missing or empty",
    (version) => {
      expect(() => releaseNotes(CHANGELOG, version)).toThrow(
        `CHANGELOG.md has no section "## ${version} (<year>-<month>-<day>)", or it is empty.`,
      );
    },
  );

  it("are refused without a tag if there is no section for what is not released yet", () => {
    expect(() => releaseNotes("# Changelog", undefined)).toThrow(
      'CHANGELOG.md has no section "## Unreleased". Add it at the top.',
    );
  });
});
