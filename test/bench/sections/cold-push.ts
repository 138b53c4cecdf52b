import { Client } from "../support/client.ts";
import { formatRange, measureMs, median, type Range, rangeOf } from "../support/measure.ts";
import { packFiles } from "../support/pool.ts";
import { createApp } from "../support/resources.ts";
import type { Call, Cell, Findings, Section } from "../support/section.ts";
import { startUaa } from "../support/uaa.ts";
import { putSnapshot, startWorker, type WorkerProcess } from "../support/worker-process.ts";

const ENTRIES = 100_000;
const SIZES = [1, 500, 5_000];
const RUNS = 3;
const ROUNDS = 7;
const [UAA_MS, OBJECT_MS] = [80, 20];
/** A value that KV has cached nearby, one from its nearest store, and one across an ocean. */
const KV_MS = [20, 100, 300];
const TARGET_KV_MS = 100;
const TARGETS_MS: Record<number, number> = { 1: 215, 500: 220, 5000: 250 };
const IDLE_MS = 61_000;

/**
 * Measured once on 24 November 2026, on two cores: the matchers alone, for 5,000 empty files on a local disk, without network and token.
 */
const PEERS_MS = { "Cloud Controller": 217, "bits-service": 85 };

const STATES = ["cold", "after 60 s", "warm"] as const;
type State = (typeof STATES)[number];

interface Measured {
  /** Median ms of each run. */
  ms: Range;
  /** The calls until the response, of the last request. */
  calls: Call[];
}

/** Measures requests in isolates without anything in memory, after a minute, and warm, with the latency of a network. */
export const coldPush: Section = {
  name: "cold-push",
  async run(): Promise<Findings> {
    const uaa = await startUaa();
    const worker = await startWorker("latency", uaa.url);
    try {
      await putSnapshot(worker, packFiles(ENTRIES));
      const pusher = new Pusher(worker, uaa.issueToken);
      const rows: Cell[][] = [];
      const atTarget = new Map<string, Measured>();
      for (const files of SIZES) {
        for (const kv of KV_MS) {
          await pusher.command(`set-latency?kv=${kv}&uaa=${UAA_MS}&object=${OBJECT_MS}`);
          const measured = await pusher.measure(files);
          rows.push([files, kv, ...STATES.map((state) => formatRange(measured[state].ms))]);
          if (kv !== TARGET_KV_MS) continue;
          for (const state of STATES) atTarget.set(`${files} ${state}`, measured[state]);
        }
      }
      pusher.close();
      const ofTarget = (files: number, state: State) => atTarget.get(`${files} ${state}`) as Measured;
      return {
        tables: [
          {
            title: "A request of a push, with the latency of a network",
            columns: ["resources", "KV ms", ...STATES.map((state) => `${state}, ms`)],
            rows,
            note:
              `Medians of ${ROUNDS} requests, and their range in ${RUNS} runs. The Worker runs in workerd. Each read of KV takes the time ` +
              `in the second column longer, UAA's keys ${UAA_MS} ms, and a call of the push session ${OBJECT_MS} ms. All resources are in ` +
              `a snapshot of ${ENTRIES}. Cold: the isolate has nothing in memory. Its code is compiled.`,
          },
          {
            title: `What a request waits for, KV at ${TARGET_KV_MS} ms`,
            columns: ["resources", "", "calls, with their start and end in ms"],
            rows: SIZES.flatMap((files) =>
              STATES.map((state): Cell[] => [files, state, formatCalls(ofTarget(files, state).calls)]),
            ),
          },
        ],
        targets: SIZES.map((files) => ({
          what: `cold push, ${files} resources, KV ${TARGET_KV_MS} ms, UAA ${UAA_MS}, object ${OBJECT_MS}`,
          measured: ofTarget(files, "cold").ms.max,
          atMost: TARGETS_MS[files] as number,
          unit: " ms",
        })),
        charts: [
          {
            name: "push-5000",
            title: "Matching the 5,000 files of a push",
            unit: "ms",
            series: ["ms"],
            groups: [
              ...Object.entries(PEERS_MS).map(([label, ms]) => ({ label, values: [ms] })),
              ...STATES.map((state) => ({
                label: `here, ${state}`,
                values: [Math.round(ofTarget(5_000, state).ms.median)],
              })),
            ],
          },
        ],
        waterfalls: [
          {
            name: "cold-push",
            title: "The first request of an isolate: 5,000 resources",
            totalMs: ofTarget(5_000, "cold").ms.median,
            calls: ofTarget(5_000, "cold").calls,
          },
        ],
      };
    } finally {
      await worker.stop();
      uaa.stop();
    }
  },
};

/** Sends each request as a push of its own, by a user of its own. */
class Pusher {
  readonly #client: Client;
  readonly #url: URL;
  readonly #issueToken: (user: string) => Promise<string>;
  #requests = 0;

  constructor({ url }: WorkerProcess, issueToken: (user: string) => Promise<string>) {
    this.#url = url;
    this.#client = new Client(new URL("/v3/resource_matches", url));
    this.#issueToken = issueToken;
  }

  async command(path: string): Promise<Response> {
    return fetch(new URL(`/${path}`, this.#url));
  }

  async measure(files: number): Promise<Record<State, Measured>> {
    const resources = createApp(files, ENTRIES, { presentShare: 1 });
    const body = Buffer.from(JSON.stringify({ resources }));
    const runs: Record<State, number[]> = { cold: [], "after 60 s": [], warm: [] };
    const calls = {} as Record<State, Call[]>;
    for (let run = 0; run < RUNS; run++) {
      const times: Record<State, number[]> = { cold: [], "after 60 s": [], warm: [] };
      // The first round compiles.
      for (let round = 0; round <= ROUNDS; round++) {
        for (const state of STATES) {
          if (state === "cold") await this.command("replace-isolate");
          if (state === "after 60 s") await this.command(`advance-clock?ms=${IDLE_MS}`);
          const sent = await this.#send(body);
          if (round > 0) times[state].push(sent.ms);
          calls[state] = sent.calls;
        }
      }
      for (const state of STATES) runs[state].push(median(times[state]));
    }
    const measured = (state: State) => ({ ms: rangeOf(runs[state]), calls: calls[state] });
    return { cold: measured("cold"), "after 60 s": measured("after 60 s"), warm: measured("warm") };
  }

  close(): void {
    this.#client.close();
  }

  async #send(body: Buffer): Promise<{ ms: number; calls: Call[] }> {
    this.#requests += 1;
    const token = await this.#issueToken(`developer ${this.#requests}`);
    await this.command("take-calls");
    const ms = await measureMs(() => this.#client.post(body, { Authorization: `Bearer ${token}` }));
    const calls = (await (await this.command("take-calls")).json()) as Call[];
    // Calls after the response have no end, or a later one.
    return { ms, calls: calls.filter(({ end = Number.POSITIVE_INFINITY }) => end <= ms) };
  }
}

function formatCalls(calls: readonly Call[]): string {
  if (calls.length === 0) return "none";
  return calls.map(({ name, start, end }) => `${name} ${start} to ${end}`).join(", ");
}
