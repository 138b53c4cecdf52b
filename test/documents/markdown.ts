import GithubSlugger from "github-slugger";
import { marked, type Token, type Tokens } from "marked";

/** What of a markdown file is to be held against the project. */
export interface Markdown {
  /** Where its links and images lead, as they are written. */
  links: string[];
  /** What a link may name behind its `#`. */
  anchors: Set<string>;
  /** Code, of blocks and of running text, a line each; a line that goes on with `\` is one. */
  code: string[];
  tables: Table[];
}

/** A table, as it is written. */
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
    if (token.type === "heading") anchors.add(slugger.slug(textOf(token)));
    if (token.type === "codespan") code.push(token.text.replaceAll("\n", " "));
    if (token.type === "code") code.push(...token.text.replaceAll(/\\\n\s*/g, "").split("\n"));
    if (token.type === "table") tables.push(tableOf(token as Tokens.Table));
    if (token.type === "html") {
      for (const [, name, value = ""] of token.raw.matchAll(/\b(href|src|srcset|id|name)="([^"]*)"/g)) {
        if (name === "id" || name === "name") anchors.add(value);
        else links.push(value);
      }
    }
  });
  return { links, anchors, code, tables };
}

function tableOf({ header, rows }: Tokens.Table): Table {
  const textsOf = (cells: Tokens.TableCell[]) => cells.map(({ text }) => text);
  return { header: textsOf(header), rows: rows.map(textsOf) };
}

/** What stands between backticks. */
export function findCode(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);
}

/** The text of a heading as it is seen, of which GitHub makes its anchor. */
function textOf(token: Token): string {
  if (token.type === "image") return "";
  const inner = "tokens" in token ? token.tokens : undefined;
  return inner ? inner.map(textOf).join("") : "text" in token ? token.text : token.raw;
}
