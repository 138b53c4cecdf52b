/** The body of the page. The token field has no name, so that a browser without the script does not submit it. */
export const MARKUP = `<main>
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
</main>`;
