import GithubSlugger from "github-slugger";
import { marked, type Token, type Tokens } from "marked";

/** The parts of a Markdown file that can be compared with the project. */
export interface Markdown {
  /** Targets of links and images. */
  links: string[];
  /** Names that a link may have after its `#`. */
  anchors: Set<string>;
  /** Lines of code blocks, and inline code. Lines that end with `\` are joined with the next one. */
  code: string[];
  tables: Table[];
}

/** A table with the Markdown text of its cells. */
export interface Table {
  header: string[];
  rows: string[][];
}

export function readMarkdown(text: string): Markdown {
  const links: string[] = [];
  const anchors = new Set<string>();
  const code: string[] = [];
  const tables: Table[] = [];
  const slugger = new GithubSlugger();
  marked.walkTokens(marked.lexer(text), (token) => {
    if (token.type === "link" || token.type === "image") links.push(token.href);
    if (token.type === "heading") anchors.add(slugger.slug(renderText(token)));
    if (token.type === "codespan") code.push(token.text.replaceAll("\n", " "));
    if (token.type === "code") code.push(...token.text.replaceAll(/\\\n\s*/g, "").split("\n"));
    if (token.type === "table") tables.push(toTable(token as Tokens.Table));
    if (token.type === "html") {
      for (const [, name, value = ""] of token.raw.matchAll(/\b(href|src|srcset|id|name)="([^"]*)"/g)) {
        if (name === "id" || name === "name") anchors.add(value);
        else links.push(value);
      }
    }
  });
  return { links, anchors, code, tables };
}

function toTable({ header, rows }: Tokens.Table): Table {
  const textsOf = (cells: Tokens.TableCell[]) => cells.map(({ text }) => text);
  return { header: textsOf(header), rows: rows.map(textsOf) };
}

/** Returns the texts between backticks. */
export function findCode(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);
}

/** Returns the rendered text of a heading. GitHub makes the anchor from it. */
function renderText(token: Token): string {
  if (token.type === "image") return "";
  const inner = "tokens" in token ? token.tokens : undefined;
  return inner ? inner.map(renderText).join("") : "text" in token ? token.text : token.raw;
}
