import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT, readDocuments } from "./documents.ts";
import { type Markdown, readMarkdown } from "./markdown.ts";

/** What of a document leads nowhere. Addresses of other hosts are not looked at. */
function brokenLinks(path: string, { links, anchors }: Markdown): string[] {
  return links.filter((link) => {
    if (/^[a-z][a-z+.-]*:/i.test(link)) return false;
    const [place = "", anchor] = link.split("#").map(decodeURIComponent);
    if (place === "") return !anchors.has(anchor ?? "");
    const target = join(dirname(path), place);
    if (target.startsWith("..") || !existsSync(join(PROJECT, target))) return true;
    if (anchor === undefined || !target.endsWith(".md")) return false;
    return !readMarkdown(readFileSync(join(PROJECT, target), "utf8")).anchors.has(anchor);
  });
}

it("every link, image and anchor of the documents leads somewhere", () => {
  const all = readDocuments();
  expect([...all.keys()]).toEqual(expect.arrayContaining(["README.md", "docs/recipes.md"]));
  const broken = [...all].flatMap(([path, document]) =>
    brokenLinks(path, document).map((link) => `${path}: ${link}`),
  );
  expect(broken).toEqual([]);
});

it("a link that leads nowhere is found, in whatever form it is written", () => {
  const text = `
# The \`resource-pool\` command's way: _in_, out & [home](README.md)

[fine](#the-resource-pool-commands-way-in-out--home) [fine](README.md) [fine](docs/) <a href="https://x.example">fine</a>

## Twice
## Twice

| table |
|---|
| [a](#nowhere) [fine](#twice-1) ![b](no.svg) |

- <img src="no.png"> [c][reference] <a id="here"></a> [fine](#here) [d](../outside.md) [e](README.md#nowhere)

[reference]: no.md

\`[code](is-no-link.md)\`
`;
  const document = readMarkdown(text);
  expect(brokenLinks("made-up.md", document).sort()).toEqual(
    ["#nowhere", "no.svg", "no.png", "no.md", "../outside.md", "README.md#nowhere"].sort(),
  );
  expect([...document.anchors]).toEqual([
    "the-resource-pool-commands-way-in-out--home",
    "twice",
    "twice-1",
    "here",
  ]);
});
