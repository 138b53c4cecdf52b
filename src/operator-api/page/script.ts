/**
 * The page's script, for browsers: plain JavaScript as it is sent. Whatever comes from the Worker becomes text, never
 * markup. The token is kept in a variable, which a duplicate of the tab does not get, as it would get a sessionStorage.
 */
export const SCRIPT = String.raw`
"use strict";
const byId = (id) => document.getElementById(id);
const [field, forget, notice, result] = ["token", "forget", "notice", "result"].map(byId);
const ADVICE = {
  401: "Its lifetime may be over: paste what cf oauth-token prints now.",
  403: "It takes cloud_controller.admin, admin_read_only or global_auditor.",
  429: "Wait a minute.",
  503: "Try again; if it stays so, the Worker's log tells why.",
};
let token = "";

byId("ask").addEventListener("submit", (event) => {
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
    const answer = await response.json();
    outcome = response.ok
      ? () => show(answer)
      : () => tell([response.status, answer.errors?.[0]?.detail + ".", ADVICE[response.status]].filter(Boolean).join(" "));
  } catch (error) {
    outcome = () => tell("There was no answer that could be read: " + error.message);
  }
  // Forgotten meanwhile, or replaced: then this answer is nobody's any more.
  if (asked === token) outcome();
}

function show(status) {
  const { last_hour: hour, published, snapshot, checks } = status;
  const count = (number) => number.toLocaleString("en");
  const age = (time) => duration(Date.parse(status.time) - Date.parse(time)) + " (written " + time + ")";
  const figures = [
    ["Entries", count(status.entries)],
    [
      "Hit ratio",
      hour.eligible === 0
        ? "nothing asked of this isolate in its last hour"
        : ((100 * hour.matched) / hour.eligible).toFixed(1) + " % in this isolate's last hour: " + count(hour.matched) +
          " of " + count(hour.eligible) + " files that could match, in " + count(hour.requests) + " requests",
    ],
    ["Age of the pointer", published ? age(published.at) : "nothing is published"],
    ["Age of the snapshot", snapshot ? age(snapshot.built_at) : "there is none"],
    ["Keys waiting", count(status.keys_waiting)],
    ["Suspended", status.suspended_until ? "until " + status.suspended_until : "no"],
    ["Version", status.version],
  ];
  byId("figures").replaceChildren(...figures.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  const troubles = checks.filter(({ level }) => level !== "ok");
  const advice = troubles.length > 0 ? troubles.map(({ text }) => text) : ["Nothing: all is well."];
  byId("advice").replaceChildren(...advice.map((text) => element("li", text)));
  byId("checks").replaceChildren(...checks.map(({ level, name, text }) => {
    const row = element("tr", "");
    const state = element("td", level);
    if (["ok", "warn", "fail"].includes(level)) state.className = level;
    row.append(state, element("td", name), element("td", text));
    return row;
  }));
  notice.textContent = "As of " + status.time + ".";
  result.hidden = false;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return seconds + " s";
  if (seconds < 7200) return Math.floor(seconds / 60) + " min";
  return seconds < 172800 ? Math.floor(seconds / 3600) + " h" : Math.floor(seconds / 86400) + " days";
}
`;
