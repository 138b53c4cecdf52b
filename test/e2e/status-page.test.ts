import { writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from "vitest";
import { runChecks } from "../../src/operator-api/checks.ts";
import type { CacheStatus } from "../../src/operator-api/responses.ts";
import { startUaa, type Uaa } from "../foundation/uaa/uaa.ts";
import { findChromium, type Page, startChromium } from "../support/node/chromium.ts";
import { startWorkerd, type Workerd } from "../support/node/workerd.ts";

const chromium = findChromium();
const START_TIMEOUT_MS = 60_000;
const CACHE = "/v3/resource_matches/cache";
/** WCAG 2.2, 1.4.3. */
const MIN_CONTRAST = 4.5;
/** Path of the PNG to write, if the screenshot of the documents is to be replaced. */
const { SCREENSHOT } = process.env;

/** Markup in a response: the page must show it as text. */
const HOSTILE = `<img src=x onerror="document.title='run'"><script>document.title="run"</script>`;
const NOW = "2026-11-25T03:00:00.000Z";
const DEGRADED = {
  version: HOSTILE,
  time: NOW,
  checks: [
    { name: "catalog", level: "ok", text: "Fine." },
    { name: "keys", level: "warn", text: "Many wait." },
    { name: "suspension", level: "fail", text: `Suspended: do this. ${HOSTILE}` },
  ],
};

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
      const fulfil = ({ requestId }: Record<string, unknown>) =>
        page.call("Fetch.fulfillRequest", { requestId, ...substitute });
      page.on("Fetch.requestPaused", (params) => void fulfil(params).catch(() => {}));
      token = await uaa.issueToken({ scopes: ["cloud_controller.write", "cloud_controller.admin"] });
      const post = (path: string, body: object) =>
        fetch(`${worker.url}${path}`, {
          method: "POST",
          headers: { Authorization: `bearer ${token}` },
          body: JSON.stringify(body),
        });
      const file = (letter: string) => ({ checksum: { value: letter.repeat(40) }, size_in_bytes: 5 });
      expect((await post(`${CACHE}/observations`, { present: [file("a"), file("b")] })).status).toBe(200);
      const expectMatches = async () => {
        const response = await post("/v3/resource_matches", { resources: [file("a"), file("b"), file("c")] });
        expect(((await response.json()) as { resources: unknown[] }).resources).toHaveLength(2);
      };
      await vi.waitFor(expectMatches, { timeout: START_TIMEOUT_MS, interval: 500 });
    }, 2 * START_TIMEOUT_MS);
    afterAll(async () => {
      await Promise.all([browser?.stop(), worker?.stop(), uaa?.close()]);
    });

    beforeEach(async () => {
      browserErrors = [];
      await page.open(`${worker.url}${CACHE}`);
    });
    afterEach(async () => {
      await page.call("Fetch.disable");
      await page.call("Emulation.setEmulatedMedia", {});
    });

    const readText = () => page.evaluate<string>("document.body.innerText");
    const readNotice = () => page.evaluate<string>("document.querySelector('[role=status]').textContent");

    /** Pastes a token, presses Enter and waits for the notice. */
    async function paste(text: string, expectedNotice: RegExp): Promise<void> {
      await page.evaluate("document.getElementById('token').focus()");
      await page.call("Input.insertText", { text });
      const enter = { key: "Enter", code: "Enter", windowsVirtualKeyCode: 13, text: "\r" };
      await page.call("Input.dispatchKeyEvent", { type: "keyDown", ...enter });
      await page.call("Input.dispatchKeyEvent", { type: "keyUp", ...enter });
      await vi.waitFor(async () => expect(await readNotice()).toMatch(expectedNotice), {
        timeout: 10_000,
        interval: 50,
      });
    }

    /** Replaces the Worker's responses to the script from now on. */
    async function respondWith(status: number, body: unknown): Promise<void> {
      substitute = { responseCode: status, body: Buffer.from(JSON.stringify(body)).toString("base64") };
      await page.call("Fetch.enable", { patterns: [{ urlPattern: `*${CACHE}`, resourceType: "Fetch" }] });
    }

    it("shows the status on the page once the token was entered", async () => {
      expect(await readText()).not.toMatch(/What to do|catalog/);
      await paste(`bearer ${token}`, /^As of .*, version \d/);
      const text = await readText();
      expect(text).toMatch(/^ok\s+catalog\s+The catalog has 2 resources\.$/m);
      expect(text).toMatch(/^ok\s+manifest\s+The manifest was written \d+ s ago\./m);
      expect(text).toMatch(/^ok\s+suspension\s+The cache is not suspended\.$/m);
      expect(text).toMatch(
        /^ok\s+last hour\s+This isolate matched \d+\.\d % in the last hour: \d+ of \d+ eligible/m,
      );
      // The narrow columns break no line, except between the words of a two-word name.
      const countLines = `[...document.querySelectorAll("th, td:not(:last-child)")].map((cell) => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        return range.getClientRects().length;
      })`;
      const lines = await page.evaluate<number[]>(countLines);
      expect(lines.length).toBeGreaterThan(10);
      expect(Math.max(...lines)).toBeLessThanOrEqual(2);
      expect(lines.slice(0, 5)).toEqual([1, 1, 1, 1, 1]);
      expect(browserErrors).toEqual([]);
    });

    it("keeps the token of the page only in memory: not in the field, storage, cookies or address, nor after a reload", async () => {
      await paste(token, /^As of /);
      const kept =
        "[document.getElementById('token').value, localStorage.length, sessionStorage.length, document.cookie, location.search + location.hash]";
      expect(await page.evaluate(kept)).toEqual(["", 0, 0, "", ""]);
      await paste("", /^As of /);
      await page.evaluate("document.getElementById('forget').click()");
      expect(await readNotice()).toBe("Token forgotten.");
      expect(await readText()).not.toContain("catalog");
      await paste("", /^Paste a token first\.$/);
      await paste(token, /^As of /);
      await page.open(`${worker.url}${CACHE}`);
      await paste("", /^Paste a token first\.$/);
    });

    it("shows an error on the page instead of the previous status", async () => {
      await paste(token, /^As of /);
      await paste("made.up.token", /^401 Invalid Auth Token\. The token may have expired/);
      expect(await readText()).not.toContain("catalog");
      await paste(await uaa.issueToken(), /^403 You are not authorized .*cloud_controller\.admin/);
    });

    it("lists what to do on the page, and shows markup in the response as text", async () => {
      await respondWith(200, DEGRADED);
      await paste(token, /^As of 2026-11-25/);
      const text = await readText();
      expect(text).toContain(`What to do\nMany wait.\nSuspended: do this. ${HOSTILE}\n`);
      expect(await readNotice()).toBe(`As of ${NOW}, version ${HOSTILE}`);
      expect(await page.evaluate("[document.title, document.images.length]")).toEqual(["Resource cache", 0]);
      expect(browserErrors).toEqual([]);
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

    it.each(["light", "dark"])(
      "follows the %s colour scheme of the browser, with enough contrast",
      async (scheme) => {
        await page.call("Emulation.setEmulatedMedia", {
          features: [{ name: "prefers-color-scheme", value: scheme }],
        });
        await respondWith(200, DEGRADED);
        await paste(token, /^As of /);
        const texts = await page.evaluate<{ text: string; ink: string; paper: string }[]>(
          `[...document.querySelectorAll("main *")]
          .filter((each) => each.checkVisibility() && [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
          .map((each) => {
            let background = each;
            while (background && getComputedStyle(background).backgroundColor === "rgba(0, 0, 0, 0)") background = background.parentElement;
            return { text: each.textContent, ink: getComputedStyle(each).color, paper: getComputedStyle(background).backgroundColor };
          })`,
        );
        expect(texts.length).toBeGreaterThan(20);
        expect(texts.filter(({ ink, paper }) => contrast(ink, paper) < MIN_CONTRAST)).toEqual([]);
        const paper = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
        expect(luminance(paper) > 0.5).toBe(scheme === "light");
      },
    );

    it("gives the elements of the page accessible names and roles", async () => {
      await paste(token, /^As of /);
      const { nodes } = await page.call("Accessibility.getFullAXTree");
      const named = nodes
        .filter(({ ignored }: { ignored: boolean }) => !ignored)
        .map(({ role, name }: Record<string, { value: string }>) => `${role?.value}: ${name?.value ?? ""}`);
      expect(named).toEqual(
        expect.arrayContaining([
          "textbox: Access token of an admin, read-only admin or global auditor",
          "button: Show status",
          "button: Forget token",
          expect.stringMatching(/^status: /),
          "heading: What to do",
          "columnheader: Level",
        ]),
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
      await respondWith(200, { ...example, checks });
      await paste(token, /^As of /);
      await screenshot(SCREENSHOT as string);
    });

    async function screenshot(path: string): Promise<void> {
      const size = { width: 900, height: 840, deviceScaleFactor: 1, mobile: false };
      await page.call("Emulation.setDeviceMetricsOverride", size);
      const { data } = await page.call("Page.captureScreenshot", { format: "png" });
      await page.call("Emulation.clearDeviceMetricsOverride");
      await writeFile(path, Buffer.from(data, "base64"));
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
    published: { at: before(12), delta: { added: 1_204, removed: 31 } },
    snapshot: { id: "abc", entries: 283_137, parts: 1, built_at: before(27 * 60) },
    last_hour: { requests: 96, eligible: 41_872, matched: 39_418, failed_open: 0 },
  };
}

/** Relative luminance of `rgb(…)`, by WCAG. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = (colour.match(/\d+/g) ?? []).map((part) => {
    const value = Number(part) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [darker = 0, lighter = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (lighter + 0.05) / (darker + 0.05);
}
