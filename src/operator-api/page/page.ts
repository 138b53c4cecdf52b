import { SCRIPT } from "./script.ts";
import { STYLE } from "./style.ts";

/** The token field has no name, so that a browser without the script does not submit it. */
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Resource cache</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Resource cache</h1>
<form id="token-form">
<label for="token">Access token of an admin, read-only admin or global auditor</label>
<p id="hint"><code>cf oauth-token</code> prints it. It stays in this tab's memory until you close or reload the tab.</p>
<div class="row">
<input id="token" type="password" autocomplete="off" spellcheck="false" aria-describedby="hint">
<button>Show status</button>
<button type="button" id="forget" hidden>Forget token</button>
</div>
</form>
<noscript><p>This page needs JavaScript. <code>resource-pool status</code> prints the same status.</p></noscript>
<p id="notice" role="status"></p>
<div id="result" hidden>
<h2>What to do</h2>
<ul id="actions"></ul>
<h2>All checks</h2>
<table>
<thead><tr><th scope="col">Level</th><th scope="col">Check</th><th scope="col">Result</th></tr></thead>
<tbody id="checks"></tbody>
</table>
</div>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;

let policy: Promise<string> | undefined;

/**
 * The page of `GET …/cache` for a browser. It needs no token, because it has no data: the user pastes a token, with which it
 * fetches the status. Its Content-Security-Policy allows its own script and style, and requests to its own origin.
 */
export async function statusPage(): Promise<Response> {
  policy ??= createPolicy();
  return new Response(PAGE, {
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": await policy,
      "Cache-Control": "no-store",
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
      Vary: "Accept",
    },
  });
}

async function createPolicy(): Promise<string> {
  return [
    "default-src 'none'",
    `script-src '${await hashSource(SCRIPT)}'`,
    `style-src '${await hashSource(STYLE)}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    // The script can't turn text into markup, even by mistake.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}

/** The hash source of an inline script or style: `sha256-<base64>`. */
async function hashSource(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return `sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}`;
}
