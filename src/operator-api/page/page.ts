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
<h1>Resource cache <span id="foundation"></span></h1>
<p id="verdict" tabindex="-1"></p>
<form id="token-form">
<label for="token">Access token of an admin, read-only admin or global auditor</label>
<p id="hint"><code>cf oauth-token</code> prints it. It stays in this tab's memory until you forget it, or close or reload the tab.</p>
<div class="row">
<input id="token" type="password" required autocomplete="off" spellcheck="false" aria-describedby="hint">
<button>Show status</button>
</div>
</form>
<noscript><p>This page needs JavaScript. <code>resource-pool status</code> prints the same status.</p></noscript>
<div id="controls" class="row" hidden>
<p id="as-of"></p>
<button type="button" id="refresh">Refresh</button>
<label><input id="automatic" type="checkbox" checked aria-label="Refresh every minute">every minute</label>
<button type="button" id="forget">Forget token</button>
</div>
<section id="result" aria-labelledby="title" hidden>
<h2 id="title">Checks</h2>
<table role="table" aria-labelledby="title">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Level</th><th role="columnheader" scope="col">Check</th><th role="columnheader" scope="col">Result</th></tr></thead>
<tbody id="checks" role="rowgroup"></tbody>
</table>
</section>
</main>
<p id="live" role="status"></p>
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
