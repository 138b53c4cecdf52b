import { expect, it } from "vitest";
import { signToken } from "../support/tokens.ts";
import { send } from "../support/worker.ts";

const CACHE = "https://api.example.com/v3/resource_matches/cache";
/** Chromium's Accept header of a page load. */
const BROWSER =
  "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";

const get = (headers: Record<string, string>, token: string | null = null) =>
  send(undefined, { method: "GET", url: CACHE, headers, token });

it("returns the status page to a browser without a token, not to be stored or framed", async () => {
  const response = await get({ Accept: BROWSER });
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    vary: "Accept",
  });
});

it("allows only the page's own script and style, by hash, and its own origin in the Content-Security-Policy", async () => {
  const response = await get({ Accept: BROWSER });
  const page = await response.text();
  const hashSource = async (element: string) => {
    const texts = [...page.matchAll(new RegExp(`<${element}>(.*?)</${element}>`, "gs"))];
    expect(texts).toHaveLength(1);
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(texts[0]?.[1]));
    return `'sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}'`;
  };
  expect(response.headers.get("Content-Security-Policy")?.split("; ")).toEqual([
    "default-src 'none'",
    `script-src ${await hashSource("script")}`,
    `style-src ${await hashSource("style")}`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ]);
  // Inline handlers and styles, which the policy blocks, references to other resources, and ways to insert markup.
  expect(page).not.toMatch(/\son\w+=|\sstyle=|\s(src|href|action)=|innerHTML|insertAdjacentHTML/);
});

it("returns the same status page, without data, with and without a token", async () => {
  const pages = [await get({ Accept: BROWSER }), await get({ Accept: BROWSER }, await signToken())];
  const [first, second] = await Promise.all(pages.map((page) => page.text()));
  expect(first).toBe(second);
  expect(first).not.toMatch(/uaa\.example\.com|\d{4}-\d\d-\d\d/);
});

it.each([
  ["application/json", 401],
  ["*/*", 401],
  ["", 401],
  ["text/html", 200],
  ["TEXT/HTML", 200],
  ["text/*", 200],
  ["text/html, application/json", 401],
  ["text/html;q=0.9, application/json", 401],
  ["text/html, application/json;q=0.9", 200],
  ["text/html; q=0.5, application/*;q=0.4", 200],
  ["text/html;q=0.5, */*;q=0.8", 401],
  ["text/html;q=0, */*", 401],
  ["*/*, application/json;q=0", 200],
  ["text/html;q=2", 401],
  ["image/png", 401],
])(
  "returns the page, which needs no token, only if Accept prefers HTML: %j returns %i",
  async (accept, status) => {
    expect((await get({ Accept: accept })).status).toBe(status);
  },
);

it("returns JSON to a browser from the other paths of the operator API", async () => {
  const response = await send(undefined, {
    method: "GET",
    url: `${CACHE}/resources`,
    headers: { Accept: BROWSER },
    token: null,
  });
  expect(response.status).toBe(401);
});
