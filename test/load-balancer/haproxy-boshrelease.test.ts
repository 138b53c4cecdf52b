import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

/** The part of an example between two texts, without the indentation of its lines. */
function partOf(name: string, start: string, end: string | undefined): string[] {
  const example = readFileSync(join(PROJECT_ROOT, "docs/examples", name), "utf8");
  const [, part] = example.split(start);
  const [lines = ""] = end === undefined ? [part] : (part?.split(end) ?? []);
  return lines
    .trim()
    .split("\n")
    .map((line) => line.trim());
}

it("adds the rules of haproxy.cfg to haproxy-boshrelease", () => {
  const [release, haproxy] = ["haproxy-boshrelease.yml", "haproxy.cfg"];
  const rules = partOf(release, "/ha_proxy/frontend_config?\n  value: |\n", "- type");
  expect(rules.length).toBeGreaterThan(5);
  expect(rules).toEqual(partOf(haproxy, "X-Forwarded-Proto https\n", "  default_backend"));
  const backend = partOf(release, "/raw_blocks?/backend?/resource_matches\n  value: |\n", undefined);
  expect(backend.length).toBeGreaterThan(15);
  expect(backend).toEqual(partOf(haproxy, "\nbackend resource_matches\n", undefined));
});
