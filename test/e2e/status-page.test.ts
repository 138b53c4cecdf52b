import { writeFile } from "node:fs/promises";
import { createContext, Script } from "node:vm";
import axe from "axe-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from "vitest";
import { runChecks } from "../../src/operator-api/checks.ts";
import { SCRIPT } from "../../src/operator-api/page/script.ts";
import type { CacheStatus } from "../../src/operator-api/responses.ts";
import { startUaa, type Uaa } from "../foundation/uaa/uaa.ts";
import { findChromium, type Page, startChromium } from "../support/node/chromium.ts";
import { startWorkerd, type Workerd } from "../support/node/workerd.ts";

const chromium = findChromium();
const START_TIMEOUT_MS = 60_000;
const CACHE = "/v3/resource_matches/cache";
/** Path of the PNG to write, if the screenshot of the documents is to be replaced. */
const { SCREENSHOT } = process.env;

/** Markup in a response: the page must show it as text. */
const HOSTILE = `<img src=x onerror="document.title='run'"><script>document.title="run"</script>`;
const STATUS = {
  version: "1.2.3",
  time: "2026-11-25T03:00:00.000Z",
  configuration: { UAA_URL: "https://uaa.cf.example.com" },
  checks: [{ name: "catalog", level: "ok", text: "The catalog has 2 resources." }],
};
const DEGRADED = {
  ...STATUS,
  version: HOSTILE,
  checks: [
    { name: "catalog", level: "ok", text: "Fine." },
    { name: "keys", level: "warn", text: "Many wait since 2026-11-23T03:00:00Z." },
    {
      name: "suspension",
      level: "fail",
      text: `Suspended until 2026-11-25T03:07:00.000Z. \`resource-pool verify\` or \`forget ${HOSTILE}\` helps. ${HOSTILE}`,
    },
    {
      name: "last hour",
      level: "ok",
      text: `A long word: ${"long".repeat(20)}, and \`${"long".repeat(20)}\`.`,
    },
  ],
};
const DEGRADED_VERDICT = "The cache has a problem: suspension";
/** The Worker's response to an invalid token. */
const UNAUTHORIZED = { errors: [{ code: 1000, title: "CF-InvalidAuthToken", detail: "Invalid Auth Token" }] };

describe("the script of the status page, without a browser", () => {
  /** The script's functions, which a script declares as globals. */
  const script = createContext({
    document: Object.assign(new EventTarget(), { getElementById: () => new EventTarget() }),
    setInterval: () => {},
    URL,
    // biome-ignore lint/suspicious/noExplicitAny: plain JavaScript
  }) as any;
  new Script(SCRIPT).runInContext(script);
  const check = (name: string, level: string) => ({ name, level, text: "" });

  it.each([
    ["ok", "The cache works", []],
    ["warn", "The cache works, with a warning: keys", [check("keys", "warn")]],
    ["warn", "The cache works, with 2 warnings: a, b", [check("a", "warn"), check("b", "warn")]],
    ["fail", "The cache has a problem: a", [check("b", "warn"), check("a", "fail")]],
    ["fail", "The cache has 2 problems: a, b", [check("a", "fail"), check("b", "fail")]],
  ])("decides the verdict %s of the page: %s", (level, text, checks) => {
    expect(script.decideVerdict([check("catalog", "ok"), ...checks])).toEqual({ level, text });
  });

  it("sorts the checks of the page: failures, warnings, then the others in the order of the Worker", () => {
    const checks = [
      check("a", "ok"),
      check("b", "warn"),
      check("c", "fail"),
      check("d", "ok"),
      check("e", "fail"),
    ];
    const names = script.sortChecks(checks).map(({ name }: { name: string }) => name);
    expect(names.join()).toBe("c,e,b,a,d");
    expect(checks.map(({ name }) => name).join()).toBe("a,b,c,d,e");
  });

  it("splits the text of a check into code, times and the text between them", () => {
    const partsOf = (text: string) => JSON.parse(JSON.stringify(script.parseText(text)));
    expect(partsOf("Until 2026-11-25T03:07:00.000Z: run `sync --prune`, or `forget`")).toEqual([
      { kind: "text", text: "Until " },
      { kind: "time", text: "2026-11-25T03:07:00.000Z" },
      { kind: "text", text: ": run " },
      { kind: "code", text: "sync --prune" },
      { kind: "text", text: ", or " },
      { kind: "code", text: "forget" },
      { kind: "text", text: "" },
    ]);
    expect(partsOf("an unpaired ` and 2026-11-25")).toEqual([
      { kind: "text", text: "an unpaired ` and 2026-11-25" },
    ]);
  });

  it.each([
    ["now", 400],
    ["in 30 seconds", 30_000],
    ["in 7 minutes", 7 * 60_000],
    ["7 minutes ago", -7 * 60_000 - 20_000],
    ["in 1 hour", 61 * 60_000],
    ["27 hours ago", -27 * 3_600_000],
    ["in 3 days", 72 * 3_600_000],
  ])("shows the distance of a time on the page: %s", (text, ms) => {
    expect(script.formatDistance(ms)).toBe(text);
  });

  it.each([
    ["https://uaa.cf.example.com", "cf.example.com"],
    ["https://login.example.com/path", "login.example.com"],
    ["http://localhost:8788", "localhost:8788"],
  ])("names the foundation on the page by the host of %s", (url, name) => {
    expect(script.nameFoundation(url)).toBe(name);
  });
});

describe.skipIf(!chromium)(
  chromium
    ? "the status page, in Chromium"
    : "skipped: Chromium is not installed (Debian: apt-get install chromium)",
  () => {
    let uaa: Uaa;
    let worker: Workerd;
    let token: string;
    let browser: Awaited<ReturnType<typeof startChromium>>;
    let page: Page;
    /** Exceptions, console messages and violations of the policy. */
    let browserErrors: unknown[];
    /** The response that the script gets instead of the Worker's. */
    let substitute: { responseCode: number; body: string };
    /** Requests of the script that got it. */
    let requests: number;

    beforeAll(async () => {
      uaa = await startUaa();
      [worker, browser] = await Promise.all([
        startWorkerd({ modules: inject("worker"), variables: { UAA_URL: uaa.url } }),
        startChromium(chromium as string),
      ]);
      ({ page } = browser);
      page.on("Runtime.exceptionThrown", (params) => browserErrors.push(params));
      page.on("Log.entryAdded", ({ entry }) => browserErrors.push(entry));
      page.on("Runtime.consoleAPICalled", ({ args }) => browserErrors.push(args));
      const fulfil = ({ requestId }: Record<string, unknown>) => {
        requests++;
        return page.call("Fetch.fulfillRequest", { requestId, ...substitute });
      };
      page.on("Fetch.requestPaused", (params) => void fulfil(params).catch(() => {}));
      token = await uaa.issueToken({ scopes: ["cloud_controller.write", "cloud_controller.admin"] });
      const file = (letter: string) => ({ checksum: { value: letter.repeat(40) }, size_in_bytes: 5 });
      const { status } = await fetch(`${worker.url}${CACHE}/observations`, {
        method: "POST",
        headers: { Authorization: `bearer ${token}` },
        body: JSON.stringify({ present: [file("a"), file("b")] }),
      });
      expect(status).toBe(200);
      await page.call("Emulation.setLocaleOverride", { locale: "en-GB" });
      await page.call("Emulation.setTimezoneOverride", { timezoneId: "Asia/Tokyo" });
    }, 2 * START_TIMEOUT_MS);
    afterAll(async () => {
      await Promise.all([browser?.stop(), worker?.stop(), uaa?.close()]);
    });

    beforeEach(async () => {
      browserErrors = [];
      requests = 0;
      await page.open(`${worker.url}${CACHE}`);
    });
    afterEach(async () => {
      await page.call("Fetch.disable");
      await page.call("Emulation.setEmulatedMedia", { media: "", features: [] });
      await page.call("Emulation.clearDeviceMetricsOverride");
    });

    const readText = () => page.evaluate<string>("document.body.innerText");
    /** The text that screen readers read. */
    const readNotice = () => page.evaluate<string>("document.querySelector('[role=status]').textContent");
    const readFocus = () => page.evaluate<string>("document.activeElement.id");
    const isVisible = (id: string) =>
      page.evaluate<boolean>(`document.getElementById(${JSON.stringify(id)}).checkVisibility()`);

    async function waitForNotice(expected: RegExp): Promise<void> {
      const expectIt = async () => expect(await readNotice()).toMatch(expected);
      await vi.waitFor(expectIt, { timeout: 10_000, interval: 20 });
    }

    async function press(key: "Enter" | "Tab", code: number, text?: string): Promise<void> {
      const event = { key, code: key, windowsVirtualKeyCode: code };
      await page.call("Input.dispatchKeyEvent", { type: "keyDown", ...event, ...(text ? { text } : {}) });
      await page.call("Input.dispatchKeyEvent", { type: "keyUp", ...event });
    }
    const pressEnter = () => press("Enter", 13, "\r");

    /** Pastes a token over the previous one, presses Enter and waits for the text that screen readers read. */
    async function paste(text: string, expectedNotice: RegExp): Promise<void> {
      await page.evaluate("document.getElementById('token').select()");
      await page.call("Input.insertText", { text });
      await pressEnter();
      await waitForNotice(expectedNotice);
    }

    /** Adds to the clock of the page, and lets it notice. */
    const advanceClock = (ms: number) =>
      page.evaluate(
        `{ const now = Date.now; Date.now = () => now() + ${ms}; document.dispatchEvent(new Event("visibilitychange")); }`,
      );

    /** Replaces the Worker's responses to the script from now on. */
    async function respondWith(status: number, body: unknown): Promise<void> {
      const text = typeof body === "string" ? body : JSON.stringify(body);
      substitute = { responseCode: status, body: Buffer.from(text).toString("base64") };
      await page.call("Fetch.enable", { patterns: [{ urlPattern: `*${CACHE}`, resourceType: "Fetch" }] });
    }

    it("shows the verdict and the checks on the page once the token was entered, and folds the token field away", async () => {
      expect(await readText()).not.toMatch(/Checks|catalog/);
      await paste(`bearer ${token}`, /^The cache works/);
      const name = new URL(uaa.url).host;
      expect(await page.evaluate("document.title")).toMatch(new RegExp(`^[✓!] The cache works.* · ${name}$`));
      const text = await readText();
      expect(text).toMatch(new RegExp(`^Resource cache\\s+${name}\\s+[✓!]\\s+The cache works`));
      expect(text).toMatch(/^As of \d\d:\d\d \(now\), version \d/m);
      expect(text).toMatch(/^Checks$/m);
      expect(text).toMatch(/^✓\s*ok\s+catalog\s+The catalog has 2 resources\.$/m);
      expect(text).toMatch(/^✓\s*ok\s+suspension\s+The cache is not suspended\.$/m);
      expect(await isVisible("token-form")).toBe(false);
      expect(browserErrors).toEqual([]);
    });

    it("keeps the token of the page only in memory: not in the field, storage, cookies or address, nor after a reload", async () => {
      await paste(token, /^The cache works/);
      const kept =
        "[document.getElementById('token').value, localStorage.length, sessionStorage.length, document.cookie, location.search + location.hash]";
      expect(await page.evaluate(kept)).toEqual(["", 0, 0, "", ""]);
      await page.open(`${worker.url}${CACHE}`);
      expect(await isVisible("token-form")).toBe(true);
      await pressEnter();
      expect(await readText()).not.toContain("catalog");
    });

    it("forgets the token and the status at the button, shows the token field again and moves the focus there", async () => {
      await respondWith(200, STATUS);
      await paste(token, /^The cache works$/);
      await page.evaluate(
        "{ const button = document.getElementById('forget'); button.focus(); button.click(); }",
      );
      expect(await readNotice()).toBe("Token forgotten.");
      expect(await readFocus()).toBe("token");
      expect(
        await page.evaluate("[document.title, document.body.textContent.includes('cf.example.com')]"),
      ).toEqual(["Resource cache", false]);
      expect(await readText()).not.toMatch(/catalog|The cache works|Refresh/);
      await advanceClock(61_000);
      expect(requests).toBe(1);
    });

    it("ignores a status that arrives after the token was forgotten", async () => {
      await respondWith(200, STATUS);
      await paste(token, /^The cache works$/);
      await page.evaluate(
        "{ document.getElementById('refresh').click(); document.getElementById('forget').click(); }",
      );
      await vi.waitFor(() => expect(requests).toBe(2), { interval: 20 });
      await page.evaluate("new Promise((resolve) => setTimeout(resolve, 50))");
      expect(await readNotice()).toBe("Token forgotten.");
      expect(await readText()).not.toContain("catalog");
    });

    it("shows an error on the page in red instead of the previous status, and asks for another token", async () => {
      await paste(token, /^The cache works/);
      await respondWith(401, UNAUTHORIZED);
      await page.evaluate("document.getElementById('refresh').focus()");
      await pressEnter();
      await waitForNotice(/^401 Invalid Auth Token\. The token may have expired\. Paste a new one\.$/);
      expect(await page.evaluate("document.getElementById('verdict').className")).toBe("fail");
      expect(await page.evaluate("document.title")).toMatch(/^✕ 401 Invalid Auth Token\./);
      expect(await readText()).not.toContain("catalog");
      expect(await readFocus()).toBe("token");
      await advanceClock(61_000);
      expect(requests).toBe(1);
      await page.call("Fetch.disable");
      await paste("made.up.token", /^401 Invalid Auth Token\./);
      await paste(await uaa.issueToken(), /^403 You are not authorized .*cloud_controller\.admin/);
      await paste(token, /^The cache works/);
    });

    it("keeps the token of the page after an error that is not the token's, and recovers", async () => {
      await respondWith(200, STATUS);
      await paste(token, /^The cache works$/);
      await respondWith(503, { errors: [{ detail: "The catalog is currently unavailable" }] });
      await page.evaluate("document.getElementById('refresh').click()");
      await waitForNotice(/^503 The catalog is currently unavailable\.$/);
      expect([await isVisible("token-form"), await isVisible("result"), await isVisible("as-of")]).toEqual([
        false,
        false,
        false,
      ]);
      expect(await page.evaluate("document.title")).toBe(
        "✕ 503 The catalog is currently unavailable. · cf.example.com",
      );
      await respondWith(502, "<html>Bad gateway</html>");
      await page.evaluate("document.getElementById('refresh').click()");
      await waitForNotice(/^Something other than the Worker responded, with status 502\.$/);
      await respondWith(200, STATUS);
      await advanceClock(61_000);
      await waitForNotice(/^The cache works$/);
      expect(await isVisible("result")).toBe(true);
    });

    it("shows failures first on the page, each text once, with code as code and markup as text", async () => {
      await respondWith(200, DEGRADED);
      await paste(token, new RegExp(`^${DEGRADED_VERDICT}$`));
      const names = "[...document.querySelectorAll('tbody th')].map(({ textContent }) => textContent)";
      expect(await page.evaluate(names)).toEqual(["suspension", "keys", "catalog", "last hour"]);
      const codes = "[...document.querySelectorAll('td code')].map(({ textContent }) => textContent)";
      expect(await page.evaluate(codes)).toEqual([
        "resource-pool verify",
        `forget ${HOSTILE}`,
        "long".repeat(20),
      ]);
      const text = await readText();
      expect(text.split("Many wait since").length - 1).toBe(1);
      expect(text.split(`helps. ${HOSTILE}`).length - 1).toBe(1);
      expect(text).toContain(`version ${HOSTILE}`);
      expect(text).not.toContain("`");
      expect(await page.evaluate("[document.title, document.images.length]")).toEqual([
        `✕ ${DEGRADED_VERDICT} · cf.example.com`,
        0,
      ]);
      expect(browserErrors).toEqual([]);
    });

    it("shows local times on the page with their distance by the Worker's clock, and updates it", async () => {
      await respondWith(200, DEGRADED);
      await paste(token, /problem/);
      await page.evaluate("document.getElementById('automatic').click()");
      const times = "[...document.querySelectorAll('time')].map(({ textContent }) => textContent)";
      const keys = "23 Nov 2026, 12:00 (2 days ago)";
      expect(await page.evaluate(times)).toEqual(["12:00 (now)", "12:07 (in 7 minutes)", keys]);
      await advanceClock(5 * 60_000);
      expect(await page.evaluate(times)).toEqual(["12:00 (5 minutes ago)", "12:07 (in 2 minutes)", keys]);
      const exact =
        "[...document.querySelectorAll('td time')].map(({ dateTime, title }) => [dateTime, title])";
      expect((await page.evaluate<string[][]>(exact))[0]).toEqual([
        "2026-11-25T03:07:00.000Z",
        "2026-11-25T03:07:00.000Z",
      ]);
    });

    it("refreshes the page every minute, keeps the focus, and announces only another verdict", async () => {
      await respondWith(200, STATUS);
      await paste(token, /^The cache works$/);
      await page.evaluate(`{
        window.announced = [];
        const live = document.querySelector("[role=status]");
        new MutationObserver(() => announced.push(live.textContent)).observe(live, { childList: true });
        document.getElementById("forget").focus();
      }`);
      const readAnnounced = () => page.evaluate("announced.splice(0)");
      await advanceClock(59_000);
      expect(requests).toBe(1);
      await respondWith(200, { ...STATUS, version: "1.2.4" });
      await advanceClock(2_000);
      await vi.waitFor(async () => expect(await readText()).toContain("version 1.2.4"), { interval: 20 });
      expect([requests, await readAnnounced(), await readFocus()]).toEqual([2, [], "forget"]);
      await respondWith(200, DEGRADED);
      await advanceClock(61_000);
      await waitForNotice(/problem/);
      expect([requests, await readAnnounced(), await readFocus()]).toEqual([3, [DEGRADED_VERDICT], "forget"]);
      // Selected text could not be copied if it was replaced.
      await page.evaluate("getSelection().selectAllChildren(document.querySelector('td code'))");
      await advanceClock(61_000);
      await page.evaluate("{ getSelection().empty(); document.getElementById('automatic').click(); }");
      await advanceClock(61_000);
      expect(requests).toBe(3);
      await page.evaluate("document.getElementById('refresh').focus()");
      await pressEnter();
      const isAnnounced = async () => expect(await page.evaluate("announced.length")).toBe(2);
      await vi.waitFor(isAnnounced, { interval: 20 });
      expect(await readAnnounced()).toEqual(["Loading …", DEGRADED_VERDICT]);
      expect([requests, await readFocus()]).toEqual([4, "refresh"]);
    });

    it("is usable with the keyboard: the focus moves to the verdict, and Tab reaches each control", async () => {
      await respondWith(200, STATUS);
      const tabbed = async (presses: number) => {
        const ids: string[] = [];
        for (let count = 0; count < presses; count++) {
          await press("Tab", 9);
          ids.push(await page.evaluate("document.activeElement.id || document.activeElement.textContent"));
        }
        return ids;
      };
      expect(await tabbed(2)).toEqual(["token", "Show status"]);
      await paste(token, /^The cache works$/);
      expect(await readFocus()).toBe("verdict");
      expect(await tabbed(3)).toEqual(["refresh", "automatic", "forget"]);
    });

    const STATES: Record<string, () => Promise<void>> = {
      "before the token": async () => {},
      "with all checks ok": async () => {
        await respondWith(200, STATUS);
        await paste(token, /^The cache works$/);
      },
      "with a failure": async () => {
        await respondWith(200, DEGRADED);
        await paste(token, /problem/);
      },
      "with an error": async () => {
        await respondWith(401, UNAUTHORIZED);
        await paste(token, /^401/);
      },
    };
    it.each(Object.entries(STATES))(
      "has no axe-core violation and does not scroll sideways in any size and colour scheme: %s",
      async (_, enter) => {
        await enter();
        await page.evaluate(axe.source);
        // axe-core checks the contrast of letters only.
        await page.evaluate("for (const icon of document.querySelectorAll('.icon')) icon.textContent = 'x'");
        for (const scheme of ["light", "dark"]) {
          await page.call("Emulation.setEmulatedMedia", {
            features: [{ name: "prefers-color-scheme", value: scheme }],
          });
          const paper = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
          expect(paper).toBe(scheme === "light" ? "rgb(255, 255, 255)" : "rgb(20, 24, 29)");
          // 640 and 320 px are 1,280 px at a zoom of 200 % and 400 %. In the last case only the text is enlarged.
          for (const [width, fontSize] of [
            [1280, "100%"],
            [640, "100%"],
            [390, "100%"],
            [320, "100%"],
            [390, "200%"],
          ] as const) {
            await resize(width, 800);
            await page.evaluate(`document.documentElement.style.fontSize = "${fontSize}"`);
            expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
            const findings = await audit();
            expect({ scheme, width, fontSize, findings }).toEqual({ scheme, width, fontSize, findings: [] });
          }
        }
      },
    );

    /** What axe-core finds, or can't decide, by WCAG 2.2 AA and best practices. */
    async function audit(): Promise<string[]> {
      const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
      const { passes, violations, incomplete } = await page.evaluate<axe.AxeResults>(
        `axe.run(document, { runOnly: ${JSON.stringify(tags)} })`,
      );
      expect(passes.map(({ id }) => id)).toEqual(
        expect.arrayContaining(["color-contrast", "label", "region"]),
      );
      return [...violations, ...incomplete].map(
        ({ id, nodes }) =>
          `${id}: ${nodes.map(({ html, failureSummary }) => html + failureSummary).join(" ")}`,
      );
    }

    it.each([1280, 390])("gives the page accessible names and roles, in %i px", async (width) => {
      await resize(width, 800);
      await respondWith(200, DEGRADED);
      await paste(token, /problem/);
      const { nodes } = await page.call("Accessibility.getFullAXTree");
      const named = nodes
        .filter(({ ignored }: { ignored: boolean }) => !ignored)
        .map(({ role, name }: Record<string, { value: string }>) => `${role?.value}: ${name?.value ?? ""}`);
      expect(named).toEqual(
        expect.arrayContaining([
          "heading: Resource cache cf.example.com",
          "button: Refresh",
          "checkbox: Refresh every minute",
          "button: Forget token",
          "heading: Checks",
          "table: Checks",
          "columnheader: Level",
          "rowheader: suspension",
          "cell: fail",
        ]),
      );
      // Chromium needs no explicit roles in a table of stacked rows.
      const withoutRole =
        "[...document.querySelectorAll('table, table *')].filter((each) => !each.role).map(({ localName }) => localName)";
      expect(new Set(await page.evaluate<string[]>(withoutRole))).toEqual(new Set(["span", "time", "code"]));
    });

    it("stacks the rows of the checks in 390 px, and not in 1280 px", async () => {
      await respondWith(200, DEGRADED);
      await paste(token, /problem/);
      const isStacked = `{
        const [level, name, text] = [...document.querySelector("tbody tr").children].map((cell) => cell.getBoundingClientRect());
        text.top >= Math.max(level.bottom, name.bottom);
      }`;
      const stacked = [];
      for (const width of [390, 1280]) {
        await resize(width, 800);
        stacked.push(await page.evaluate(isStacked));
      }
      expect(stacked).toEqual([true, false]);
    });

    it("prints the status without its controls, and has no transition with reduced motion", async () => {
      await respondWith(200, STATUS);
      await paste(token, /^The cache works$/);
      await page.call("Emulation.setEmulatedMedia", { media: "print" });
      expect([await isVisible("as-of"), await isVisible("refresh")]).toEqual([true, false]);
      const duration = "getComputedStyle(document.getElementById('result')).transitionDuration";
      const durations = [];
      for (const value of ["no-preference", "reduce"]) {
        await page.call("Emulation.setEmulatedMedia", {
          media: "",
          features: [{ name: "prefers-reduced-motion", value }],
        });
        durations.push(await page.evaluate(duration));
      }
      expect(durations).toEqual(["0.2s", "0s"]);
    });

    it("blocks injected scripts, images from elsewhere, and requests to other origins on the page", async () => {
      const attempt = (code: string) => `(async () => { ${code} })().then(() => "done", ({ name }) => name)`;
      const markup = attempt("document.body.innerHTML = '<b>hello</b>'");
      expect(await page.evaluate(markup)).toBe("TypeError");
      const script = attempt(
        "const made = document.createElement('script'); made.text = 'document.title = 1'; document.body.append(made)",
      );
      expect(await page.evaluate(script)).toBe("TypeError");
      const elsewhere = attempt(
        `await fetch(${JSON.stringify(`${uaa.url}/token_keys`)}, { mode: "no-cors" })`,
      );
      expect(await page.evaluate(elsewhere)).toBe("TypeError");
      const image = attempt(
        `await new Promise((resolve, reject) => { const image = new Image(); image.onload = resolve; image.onerror = () => reject(new RangeError()); image.src = ${JSON.stringify(worker.url)}; })`,
      );
      expect(await page.evaluate(image)).toBe("RangeError");
      expect(JSON.stringify(browserErrors)).toMatch(
        /connect-src 'self'.*default-src 'none'|default-src 'none'.*connect-src 'self'/,
      );
    });

    it.runIf(SCREENSHOT)("takes the screenshot of the documents, with one check that is not ok", async () => {
      const headers = { Authorization: `bearer ${token}` };
      const status = (await (await fetch(`${worker.url}${CACHE}`, { headers })).json()) as CacheStatus;
      const example = createLargePoolStatus(status);
      const checks = runChecks(example, {
        features: { resourceMatching: true, appBitsUpload: true },
        mode: "answer",
        keysPerDay: 500,
        cloudControllerUrl: "https://api.example.com",
      });
      await respondWith(200, { ...example, configuration: STATUS.configuration, checks });
      await paste(token, /^The cache works/);
      await resize(900, 100, 2);
      await resize(900, await page.evaluate("document.documentElement.scrollHeight"), 2);
      const { data } = await page.call("Page.captureScreenshot", { format: "png" });
      await writeFile(SCREENSHOT as string, Buffer.from(data, "base64"));
    });

    async function resize(width: number, height: number, deviceScaleFactor = 1): Promise<void> {
      const size = { width, height, deviceScaleFactor, mobile: false };
      await page.call("Emulation.setDeviceMetricsOverride", size);
    }
  },
);

/** The status of a large pool on the free plan, whose snapshot is overdue. */
function createLargePoolStatus(status: CacheStatus): CacheStatus {
  const before = (minutes: number) => new Date(Date.parse(status.time) - minutes * 60_000).toISOString();
  return {
    ...status,
    entries: 284_310,
    keys_waiting: 251_810,
    dirty_since: null,
    suspended_until: null,
    removed_since_suspension: 0,
    published: { at: before(12), delta: { added: 1_204, removed: 31 } },
    snapshot: { id: "abc", entries: 283_137, parts: 1, built_at: before(27 * 60) },
    last_hour: { requests: 96, eligible: 41_872, matched: 39_418, matched_by_cache: 39_102, failed_open: 0 },
  };
}
