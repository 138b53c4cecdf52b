/** The style sheet of the page. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1b1f24; --quiet: #57606a; --line: #6e7781; --act: #0a5a9c; --act-ink: #fff;
  --ok: #1a6b34; --warn: #7a4b00; --fail: #b3121f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e6e9ec; --quiet: #a3acb5; --line: #7d8791; --act: #7cc0ff; --act-ink: #10151a;
    --ok: #7ddc98; --warn: #f2b95c; --fail: #ff9a94;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
label { font-weight: 600; }
#hint { margin: 0 0 .5rem; color: var(--quiet); }
.row { display: flex; flex-wrap: wrap; gap: .5rem; }
.row [hidden] { display: none; }
input, button { font: inherit; padding: .4rem .7rem; border: 1px solid var(--line); border-radius: 4px; }
input { flex: 1 1 16rem; min-width: 0; background: var(--paper); color: var(--ink); }
button { background: var(--act); color: var(--act-ink); border-color: var(--act); cursor: pointer; }
#forget { background: none; color: var(--act); }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
#notice { min-height: 1.5em; }
ul { margin: 0; padding-left: 1.2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0; border-top: 1px solid var(--line); }
td:last-child { width: 100%; overflow-wrap: anywhere; }
.ok td:first-child { color: var(--ok); }
.warn td:first-child { color: var(--warn); font-weight: 600; }
.fail td:first-child { color: var(--fail); font-weight: 600; }
`;
