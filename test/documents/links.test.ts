import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT, readDocuments } from "./documents.ts";
import { type Markdown, readMarkdown } from "./markdown.ts";

/** Returns the links of a document whose file or anchor does not exist. Ignores links to other hosts. */
function findBrokenLinks(path: string, { links, anchors }: Markdown): string[] {
  return links.filter((link) => {
    if (/^[a-z][a-z+.-]*:/i.test(link)) return false;
    const [file = "", anchor] = link.split("#").map(decodeURIComponent);
    if (file === "") return !anchors.has(anchor ?? "");
    const target = join(dirname(path), file);
    if (target.startsWith("..") || !existsSync(join(PROJECT, target))) return true;
    if (anchor === undefined || !target.endsWith(".md")) return false;
    return !readMarkdown(readFileSync(join(PROJECT, target), "utf8")).anchors.has(anchor);
  });
}

it("finds no broken link, image or anchor in the documents", () => {
  const all = readDocuments();
  expect([...all.keys()]).toEqual(expect.arrayContaining(["README.md", "docs/recipes.md"]));
  const broken = [...all].flatMap(([path, document]) =>
    findBrokenLinks(path, document).map((link) => `${path}: ${link}`),
  );
  expect(broken).toEqual([]);
});

it("finds broken links in every form", () => {
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
  expect(findBrokenLinks("example.md", document).sort()).toEqual(
    ["#nowhere", "no.svg", "no.png", "no.md", "../outside.md", "README.md#nowhere"].sort(),
  );
  expect([...document.anchors]).toEqual([
    "the-resource-pool-commands-way-in-out--home",
    "twice",
    "twice-1",
    "here",
  ]);
});
