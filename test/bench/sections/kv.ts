import { resourceKey } from "../../../src/resources/resource-key.ts";
import { putManifestIfMissing } from "../../support/manifest.ts";
import { Client } from "../support/client.ts";
import { packFiles } from "../support/pool.ts";
import { app } from "../support/resources.ts";
import type { Cell, Findings, Section } from "../support/section.ts";
import { startUaa } from "../support/uaa.ts";
import { putSnapshot, startWorker, type WorkerProcess } from "../support/worker-process.ts";

const POOL = 100_000;
const FILES = 5_000;
const HELD_SHARE = 0.9;
const APP = app(FILES, POOL, { presentShare: HELD_SHARE });
const PRESENT = new Set(app(FILES, POOL, { presentShare: 1 }).map(({ checksum }) => checksum.value));
const NOT_PRESENT = APP.filter(({ checksum }) => !PRESENT.has(checksum.value)).length;
const MINUTES = 10;
const PUSHES_A_MINUTE = 6;

interface Counts {
  manifestReads: number;
  partReads: number;
  bulkReads: number;
  keys: number;
  others: number;
}

/** What a push costs in KV operations, and in keys that are billed: KV bills each key of a bulk read. */
export const kv: Section = {
  name: "kv",
  async run(): Promise<Findings> {
    const without = await counted(false);
    const withSnapshot = await counted(true);
    const rows: [string, Counts][] = [
      ["without a snapshot, first push", without.first],
      ["without a snapshot, next push", without.next],
      ["with a snapshot, first push of an isolate", withSnapshot.first],
      ["with a snapshot, next push", withSnapshot.next],
      [`with a snapshot, ${MINUTES * PUSHES_A_MINUTE} pushes in ${MINUTES} minutes`, withSnapshot.long],
    ];
    const { long, next } = withSnapshot;
    const beyond = (long.keys - MINUTES * PUSHES_A_MINUTE * NOT_PRESENT) / (MINUTES * PUSHES_A_MINUTE);
    return {
      tables: [
        {
          title: `KV reads of a push of ${FILES.toLocaleString("en")} files, ${NOT_PRESENT} of which the pool does not hold`,
          columns: ["", "manifest", "parts", "bulk reads", "keys in them", "operations", "billed reads"],
          rows: rows.map(([what, counts]): Cell[] => [
            what,
            counts.manifestReads,
            counts.partReads,
            counts.bulkReads,
            counts.keys,
            operations(counts),
            billed(counts),
          ]),
          note: "Counted through a KV that counts, around the built Worker; no writes, lists or deletes among them.",
        },
      ],
      targets: [
        {
          what: "small reads a minute and isolate with a snapshot",
          measured: (long.manifestReads + long.partReads) / MINUTES,
          atMost: 3,
          unit: "",
        },
        {
          what: "keys a push with a snapshot, beyond those that it does not hold",
          measured: beyond,
          atMost: 0,
          unit: "",
        },
      ],
      charts: [
        {
          name: "kv",
          title: `Billed KV reads of a push of ${FILES.toLocaleString("en")} files, 90 % present`,
          unit: "reads",
          series: ["billed reads"],
          groups: [
            { label: "without a snapshot", values: [billed(without.next)] },
            { label: "with a snapshot", values: [billed(next)] },
          ],
        },
      ],
    };
  },
};

function operations({ manifestReads, partReads, bulkReads, others }: Counts): number {
  return manifestReads + partReads + bulkReads + others;
}

function billed({ manifestReads, partReads, keys, others }: Counts): number {
  return manifestReads + partReads + keys + others;
}

async function counted(hasSnapshot: boolean): Promise<{ first: Counts; next: Counts; long: Counts }> {
  const uaa = await startUaa();
  const worker = await startWorker("counting", uaa.url);
  const client = new Client(new URL("/v3/resource_matches", worker.url), {
    Authorization: `Bearer ${await uaa.tokenOf("developer")}`,
  });
  const body = Buffer.from(JSON.stringify({ resources: APP }));
  const push = () => client.post(body);
  try {
    if (hasSnapshot) await putSnapshot(worker, packFiles(POOL));
    else await holdApp(worker);
    await push();
    const first = await takeCounts(worker);
    await push();
    const next = await takeCounts(worker);
    for (let each = 0; each < (hasSnapshot ? MINUTES * PUSHES_A_MINUTE : 0); each++) {
      await pass(worker, 60_000 / PUSHES_A_MINUTE);
      await push();
    }
    return { first, next, long: await takeCounts(worker) };
  } finally {
    client.close();
    uaa.stop();
    await worker.stop();
  }
}

async function takeCounts({ url }: WorkerProcess): Promise<Counts> {
  return (await (await fetch(new URL("/take-counts", url))).json()) as Counts;
}

/** Sets the Worker's clock on. */
async function pass({ url }: WorkerProcess, ms: number): Promise<void> {
  await fetch(new URL(`/pass?ms=${ms}`, url));
}

/** Puts into the cache what the pool holds of the app. */
async function holdApp({ url, kv }: WorkerProcess): Promise<void> {
  await putManifestIfMissing(await kv());
  const present = APP.filter(({ checksum }) => PRESENT.has(checksum.value));
  const keys = present.map(({ checksum, size_in_bytes }) => resourceKey(checksum.value, size_in_bytes));
  await fetch(new URL("/hold", url), { method: "POST", body: JSON.stringify(keys) });
}
