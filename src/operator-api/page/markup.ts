/** The page's body. The field has no name: without the script, nothing could send what is typed there. */
export const MARKUP = `<main>
<h1>Resource cache</h1>
<form id="ask">
<label for="token">Token of an admin, an admin_read_only or a global_auditor</label>
<p id="hint"><code>cf oauth-token</code> prints one. It stays in this tab's memory, until the tab is closed or loaded anew.</p>
<div class="row">
<input id="token" type="password" autocomplete="off" spellcheck="false" aria-describedby="hint">
<button>Show the status</button>
<button type="button" id="forget" hidden>Forget the token</button>
</div>
</form>
<noscript><p>This page needs its script. <code>resource-pool status</code> tells the same.</p></noscript>
<p id="notice" role="status"></p>
<div id="result" hidden>
<h2>What to do</h2>
<ul id="advice"></ul>
<h2>How it is</h2>
<table>
<thead><tr><th scope="col">State</th><th scope="col">Check</th><th scope="col">What was found</th></tr></thead>
<tbody id="checks"></tbody>
</table>
</div>
</main>`;
