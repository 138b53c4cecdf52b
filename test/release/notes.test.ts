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

  it.each(["1.1.0", "1.10", "Unreleased"])(
    "are refused for %s: the section is missing or empty",
    (version) => {
      expect(() => releaseNotes(CHANGELOG, version)).toThrow(`CHANGELOG.md has no section "## ${version} (`);
    },
  );
});
