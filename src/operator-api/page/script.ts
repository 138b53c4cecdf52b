/**
 * The script of the page: plain JavaScript, sent as it is. It shows the Worker's response as text, never as markup. The token is in a
 * variable, not in sessionStorage, which a duplicated tab would inherit. `\x60` is a backtick.
 */
export const SCRIPT = String.raw`
"use strict";
const [foundation, verdict, form, field, controls, asOf, automatic, refresh, forget, result, checks, live] =
  ["foundation", "verdict", "token-form", "token", "controls", "as-of", "automatic", "refresh", "forget", "result", "checks", "live"]
    .map((id) => document.getElementById(id));
const TITLE = document.title;
const HINTS = {
  401: "The token may have expired. Paste a new one.",
  403: "The token needs cloud_controller.admin, admin_read_only or global_auditor.",
};
const LEVELS = ["fail", "warn", "ok"];
const ICONS = { fail: "✕", warn: "!", ok: "✓" };
const [SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS] = [1e3, 60e3, 3600e3, 86400e3];
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DATE_AND_CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** The token, once the Worker has accepted it. */
let token = "";
let lastRequest = 0;
let loadedAt = 0;
/** The Worker's clock minus that of the browser. */
let clockOffsetMs = 0;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  load(field.value.trim().replace(/^bearer\s+/i, ""), true);
});
refresh.addEventListener("click", () => load(token, true));
forget.addEventListener("click", () => {
  lastRequest++;
  token = foundation.textContent = "";
  checks.replaceChildren();
  show("", "");
  announce("Token forgotten.");
});
document.addEventListener("visibilitychange", tick);
setInterval(tick, 10 * SECOND_MS);

/** Updates the relative times, and the status every minute while the page is visible and no text is selected. */
function tick() {
  updateTimes();
  const isDue = Date.now() - loadedAt >= MINUTE_MS;
  const isWatched = document.visibilityState === "visible" && document.getSelection().isCollapsed;
  if (token !== "" && automatic.checked && isDue && isWatched) load(token, false);
}

async function load(candidate, isManual) {
  const request = ++lastRequest;
  loadedAt = Date.now();
  document.body.className = "loading";
  if (isManual) announce("Loading …");
  let response;
  let body = {};
  let reason = "";
  try {
    response = await fetch(location.pathname, {
      headers: { Accept: "application/json", Authorization: "Bearer " + candidate },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    body = (await response.json().catch(() => ({}))) ?? {};
  } catch (error) {
    reason = error.message;
  }
  // Drop the response if the token was forgotten, or another request was sent since.
  if (request !== lastRequest) return;
  if (!response) return show("fail", "The status could not be loaded: " + reason);
  const { ok, status } = response;
  if (ok && body.checks) return showStatus(body, candidate);
  if (status === 401 || status === 403) token = "";
  const detail = body.errors?.[0]?.detail;
  if (!detail) return show("fail", "Something other than the Worker responded, with status " + status + ".");
  show("fail", [status, detail + ".", HINTS[status]].join(" ").trim());
}

function showStatus(status, acceptedToken) {
  token = acceptedToken;
  field.value = "";
  clockOffsetMs = Date.parse(status.time) - Date.now();
  checks.replaceChildren(...sortChecks(status.checks).map(createRow));
  asOf.replaceChildren("As of ", createTime(status.time), ", version " + status.version);
  updateTimes();
  foundation.textContent = nameFoundation(status.configuration.UAA_URL);
  const { level, text } = decideVerdict(status.checks);
  show(level, text, true);
}

function show(level, text, hasStatus = false) {
  document.body.className = "";
  verdict.className = level;
  verdict.replaceChildren(...(text ? [createIcon(level), createElement("span", text)] : []));
  document.title = (text && ICONS[level] + " " + text + " · ") + (foundation.textContent || TITLE);
  form.hidden = token !== "";
  controls.hidden = token === "";
  asOf.hidden = result.hidden = !hasStatus;
  announce(text);
  // The focus would be lost with an element that is hidden now.
  if (!document.activeElement.checkVisibility()) (form.hidden ? verdict : field).focus();
}

/** Screen readers read a live region when its text changes: not at an automatic refresh with the same verdict. */
function announce(text) {
  if (live.textContent !== text) live.textContent = text;
}

function decideVerdict(checks) {
  const namesOf = (level) => checks.filter((check) => check.level === level).map(({ name }) => name);
  const list = (names, noun) =>
    (names.length === 1 ? "a " + noun : names.length + " " + noun + "s") + ": " + names.join(", ");
  const [failures, warnings] = [namesOf("fail"), namesOf("warn")];
  if (failures.length > 0) return { level: "fail", text: "The cache has " + list(failures, "problem") };
  if (warnings.length > 0) return { level: "warn", text: "The cache works, with " + list(warnings, "warning") };
  return { level: "ok", text: "The cache works" };
}

function sortChecks(checks) {
  return [...checks].sort((one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level));
}

/** The system domain: UAA is at uaa.<system domain>. */
function nameFoundation(uaaUrl) {
  return new URL(uaaUrl).host.replace(/^uaa\./, "");
}

function createRow({ level, name, text }) {
  const row = createElement("tr");
  row.className = level;
  const [first, second, third] = ["td", "th", "td"].map((tag) => createElement(tag));
  first.append(createIcon(level), level);
  second.scope = "row";
  second.append(name);
  third.append(...parseText(text).map(createPart));
  row.append(first, second, third);
  // Safari drops the roles of a table whose rows are not displayed as rows.
  row.role = "row";
  [first.role, second.role, third.role] = ["cell", "rowheader", "cell"];
  return row;
}

/** Splits a text into code between backticks, times, and the text between these. */
function parseText(text) {
  return text.split(/(\x60[^\x60]+\x60|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/).map((part, index) => {
    if (index % 2 === 0) return { kind: "text", text: part };
    return part[0] === "\x60" ? { kind: "code", text: part.slice(1, -1) } : { kind: "time", text: part };
  });
}

function createPart({ kind, text }) {
  if (kind === "text") return text;
  return kind === "code" ? createElement("code", text) : createTime(text);
}

/** The text of a time is set by updateTimes. */
function createTime(time) {
  const element = createElement("time");
  element.dateTime = element.title = time;
  return element;
}

function updateTimes() {
  const now = Date.now() + clockOffsetMs;
  for (const element of document.querySelectorAll("time")) {
    element.textContent = formatTime(Date.parse(element.dateTime), now);
  }
}

/** A local time, with its distance from now: "03:37 (in 7 minutes)". */
function formatTime(time, now) {
  const isToday = new Date(time).toDateString() === new Date(now).toDateString();
  return (isToday ? CLOCK : DATE_AND_CLOCK).format(time) + " (" + formatDistance(time - now) + ")";
}

function formatDistance(ms) {
  const size = Math.abs(ms);
  if (size < MINUTE_MS) return RELATIVE.format(Math.round(ms / SECOND_MS), "second");
  if (size < HOUR_MS) return RELATIVE.format(Math.round(ms / MINUTE_MS), "minute");
  if (size < 2 * DAY_MS) return RELATIVE.format(Math.round(ms / HOUR_MS), "hour");
  return RELATIVE.format(Math.round(ms / DAY_MS), "day");
}

function createIcon(level) {
  const icon = createElement("span", ICONS[level]);
  icon.className = "icon";
  icon.ariaHidden = "true";
  return icon;
}

function createElement(name, text = "") {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
`;
