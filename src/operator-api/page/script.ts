/**
 * The script of the page: plain JavaScript, sent as it is. It shows the Worker's response as text, never as markup. The token is in a
 * variable, not in sessionStorage, which a duplicated tab would inherit.
 */
export const SCRIPT = String.raw`
"use strict";
const [form, field, forget, notice, result, actions, checks] =
  ["token-form", "token", "forget", "notice", "result", "actions", "checks"].map((id) => document.getElementById(id));
const HINTS = {
  401: "The token may have expired. Paste the output of cf oauth-token.",
  403: "The token needs cloud_controller.admin, admin_read_only or global_auditor.",
};
let token = "";

form.addEventListener("submit", (event) => {
  event.preventDefault();
  token = field.value.trim().replace(/^bearer\s+/i, "") || token;
  field.value = "";
  load();
});
forget.addEventListener("click", () => {
  token = "";
  showNotice("Token forgotten.");
  field.focus();
});

function showNotice(text) {
  notice.textContent = text;
  result.hidden = true;
  forget.hidden = token === "";
}

async function load() {
  if (token === "") return showNotice("Paste a token first.");
  const sentToken = token;
  showNotice("Loading …");
  let showOutcome;
  try {
    const response = await fetch(location.pathname, {
      headers: { Accept: "application/json", Authorization: "Bearer " + sentToken },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    const { status, ok } = response;
    const body = await response.json();
    const error = () => status + " " + body.errors?.[0]?.detail + ". " + (HINTS[status] ?? "");
    showOutcome = () => ok ? showStatus(body) : showNotice(error());
  } catch (error) {
    showOutcome = () => showNotice("The status could not be loaded: " + error.message);
  }
  // Drop the response if the token was forgotten or replaced since.
  if (sentToken === token) showOutcome();
}

function showStatus(status) {
  const texts = status.checks.filter(({ level }) => level !== "ok").map(({ text }) => text);
  if (texts.length === 0) texts.push("Nothing. All checks are ok.");
  actions.replaceChildren(...texts.map((text) => createElement("li", text)));
  checks.replaceChildren(...status.checks.map(({ level, name, text }) => {
    const row = createElement("tr", "");
    row.className = level;
    row.append(createElement("td", level), createElement("td", name), createElement("td", text));
    return row;
  }));
  notice.textContent = "As of " + status.time + ", version " + status.version;
  result.hidden = false;
}

function createElement(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
`;
