/**
 * The page's script, for browsers: plain JavaScript as it is sent. Whatever comes from the Worker becomes text, never
 * markup. The token is kept in a variable, which a duplicate of the tab does not get, as it would get a sessionStorage.
 */
export const SCRIPT = String.raw`
"use strict";
const [ask, field, forget, notice, result, advice, checks] =
  ["ask", "token", "forget", "notice", "result", "advice", "checks"].map((id) => document.getElementById(id));
const ADVICE = {
  401: "Its lifetime may be over: paste what cf oauth-token prints now.",
  403: "It takes cloud_controller.admin, admin_read_only or global_auditor.",
};
let token = "";

ask.addEventListener("submit", (event) => {
  event.preventDefault();
  token = field.value.trim().replace(/^bearer\s+/i, "") || token;
  field.value = "";
  load();
});
forget.addEventListener("click", () => {
  token = "";
  tell("The token is forgotten.");
  field.focus();
});

/** Says how it stands in place of a result. */
function tell(text) {
  notice.textContent = text;
  result.hidden = true;
  forget.hidden = token === "";
}

async function load() {
  if (token === "") return tell("Paste a token first.");
  const asked = token;
  tell("Asking …");
  let outcome;
  try {
    const response = await fetch(location.pathname, {
      headers: { Accept: "application/json", Authorization: "Bearer " + asked },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    const { status, ok } = response;
    const answer = await response.json();
    outcome = () => ok ? show(answer) : tell(status + " " + answer.errors?.[0]?.detail + ". " + (ADVICE[status] ?? ""));
  } catch (error) {
    outcome = () => tell("There was no answer that could be read: " + error.message);
  }
  // Forgotten meanwhile, or replaced: then this answer is nobody's any more.
  if (asked === token) outcome();
}

function show(status) {
  const texts = status.checks.filter(({ level }) => level !== "ok").map(({ text }) => text);
  if (texts.length === 0) texts.push("Nothing: all is well.");
  advice.replaceChildren(...texts.map((text) => element("li", text)));
  checks.replaceChildren(...status.checks.map(({ level, name, text }) => {
    const row = element("tr", "");
    row.className = level;
    row.append(element("td", level), element("td", name), element("td", text));
    return row;
  }));
  notice.textContent = "As of " + status.time + ", version " + status.version;
  result.hidden = false;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
`;
