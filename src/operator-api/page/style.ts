/** The style sheet of the page. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: light-dark(#fff, #14181d);
  --ink: light-dark(#1b1f24, #e6e9ec);
  --quiet: light-dark(#57606a, #a3acb5);
  --line: light-dark(#d5dae0, #343b43);
  --edge: light-dark(#6e7781, #7d8791);
  --act: light-dark(#0a5a9c, #7cc0ff);
  --ok: light-dark(#1a6b34, #7ddc98);
  --warn: light-dark(#7a4b00, #f2b95c);
  --fail: light-dark(#b3121f, #ff9a94);
  --ok-tint: light-dark(#edf7f0, #16251b);
  --warn-tint: light-dark(#fff6de, #2b2413);
  --fail-tint: light-dark(#fdeeee, #331b1d);
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
main { max-width: 56rem; margin: 0 auto; padding: 2rem 1.5rem; }
h1 { display: flex; flex-wrap: wrap; gap: 0 .75rem; font-size: 1.25rem; margin: 0 0 1rem; }
h1 span { font-weight: 400; color: var(--quiet); }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; }
p { margin: 0; }
code {
  display: inline-block; max-width: 100%; padding: 0 .35em; border-radius: 4px;
  font: .875em/1.5 ui-monospace, monospace; background: color-mix(in srgb, var(--quiet) 14%, transparent);
}
.ok { --tone: var(--ok); --tint: var(--ok-tint); }
.warn { --tone: var(--warn); --tint: var(--warn-tint); }
.fail { --tone: var(--fail); --tint: var(--fail-tint); }
.icon {
  display: inline-grid; place-content: center; flex: none; width: 1.25em; height: 1.25em; margin-right: .5em;
  border-radius: 50%; background: var(--tone); color: var(--paper); font-weight: 700; line-height: 1;
}
#verdict { display: flex; font-size: 1.25rem; font-weight: 600; }
#verdict:not(:empty) {
  padding: .9rem 1rem; color: var(--tone); background: var(--tint); border: 1px solid var(--tone); border-radius: 8px;
}
#verdict:focus { outline: none; }
#verdict .icon { margin-top: .125em; }
form { margin-top: 1.25rem; }
form label { font-weight: 600; }
#hint { margin-bottom: .5rem; color: var(--quiet); }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem .75rem; }
input, button { font: inherit; padding: .4rem .8rem; border: 1px solid var(--edge); border-radius: 6px; }
input { flex: 1 1 16rem; min-width: 0; background: var(--paper); color: var(--ink); }
input[type=checkbox] { flex: none; width: 1.1em; height: 1.1em; margin: 0 .4em 0 0; accent-color: var(--act); vertical-align: -.15em; }
button { background: none; color: var(--act); border-color: var(--act); cursor: pointer; }
form button { background: var(--act); color: var(--paper); }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
#controls { margin-top: .75rem; color: var(--quiet); }
#as-of { flex: 1 1 auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: baseline; padding: .6rem .75rem; border-top: 1px solid var(--line); font-weight: 400; }
thead th { padding-block: .3rem; font-size: .875rem; color: var(--quiet); }
tr > :not(:last-child) { white-space: nowrap; }
td:first-child { color: var(--tone); }
td:last-child { width: 100%; }
tr:is(.fail, .warn) { background: var(--tint); }
tr:is(.fail, .warn) :is(th, td:first-child) { font-weight: 600; }
tr.ok .icon { background: none; color: var(--tone); }
@media (prefers-reduced-motion: no-preference) { #verdict, #result { transition: opacity .2s .3s; } }
.loading :is(#verdict, #result) { opacity: .5; }
#live { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (max-width: 40rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  main { padding: 1.25rem 1rem; }
  button { padding-inline: .7rem; }
  .row { column-gap: .5rem; }
  #as-of { flex-basis: 100%; }
  #forget { margin-left: auto; }
  tbody tr { display: flex; flex-wrap: wrap; gap: .15rem 1rem; padding: .6rem .75rem; border-top: 1px solid var(--line); }
  tbody :is(th, td) { padding: 0; border: 0; }
  tbody th { order: -1; flex: 1; font-weight: 600; }
}
@media print { form, #controls :not(#as-of, #as-of *) { display: none; } }
`;
