import { resourceKey } from "../../../src/resources/resource-key.ts";
import { putManifestIfMissing } from "../../support/manifest.ts";
import { Client } from "../support/client.ts";
import { packFiles } from "../support/pool.ts";
import { createApp } from "../support/resources.ts";
import type { Cell, Findings, Section } from "../support/section.ts";
import { startUaa } from "../support/uaa.ts";
import { putSnapshot, startWorker, type WorkerProcess } from "../support/worker-process.ts";

const POOL = 100_000;
const FILES = 5_000;
const PRESENT_SHARE = 0.9;
const APP = createApp(FILES, POOL, { presentShare: PRESENT_SHARE });
const PRESENT = new Set(createApp(FILES, POOL, { presentShare: 1 }).map(({ checksum }) => checksum.value));
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

/** Counts the KV operations and the billed reads of a push. KV bills each key of a bulk read. */
export const kv: Section = {
  name: "kv",
  async run(): Promise<Findings> {
    const without = await countReads(false);
    const withSnapshot = await countReads(true);
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
          title: `KV reads of a push of ${FILES.toLocaleString("en")} files, ${NOT_PRESENT} of them not present`,
          columns: ["", "manifest", "parts", "bulk reads", "keys read", "operations", "billed reads"],
          rows: rows.map(([what, counts]): Cell[] => [
            what,
            counts.manifestReads,
            counts.partReads,
            counts.bulkReads,
            counts.keys,
            countOperations(counts),
            countBilled(counts),
          ]),
          note: "Counted in the built Worker by a wrapper around KV. There are no writes, lists or deletes.",
        },
      ],
      targets: [
        {
          what: "reads of manifest and parts per minute and isolate, with a snapshot",
          measured: (long.manifestReads + long.partReads) / MINUTES,
          atMost: 3,
          unit: "",
        },
        {
          what: "keys read per push with a snapshot, beyond the files that are not present",
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
            { label: "without a snapshot", values: [countBilled(without.next)] },
            { label: "with a snapshot", values: [countBilled(next)] },
          ],
        },
      ],
    };
  },
};

function countOperations({ manifestReads, partReads, bulkReads, others }: Counts): number {
  return manifestReads + partReads + bulkReads + others;
}

function countBilled({ manifestReads, partReads, keys, others }: Counts): number {
  return manifestReads + partReads + keys + others;
}

async function countReads(hasSnapshot: boolean): Promise<{ first: Counts; next: Counts; long: Counts }> {
  const uaa = await startUaa();
  const worker = await startWorker("counting", uaa.url);
  const client = new Client(new URL("/v3/resource_matches", worker.url), {
    Authorization: `Bearer ${await uaa.issueToken("developer")}`,
  });
  const body = Buffer.from(JSON.stringify({ resources: APP }));
  const push = () => client.post(body);
  try {
    if (hasSnapshot) await putSnapshot(worker, packFiles(POOL));
    else await putKeys(worker);
    await push();
    const first = await takeCounts(worker);
    await push();
    const next = await takeCounts(worker);
    for (let each = 0; each < (hasSnapshot ? MINUTES * PUSHES_A_MINUTE : 0); each++) {
      await advanceClock(worker, 60_000 / PUSHES_A_MINUTE);
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

/** Advances the clock of the Worker. */
async function advanceClock({ url }: WorkerProcess, ms: number): Promise<void> {
  await fetch(new URL(`/advance-clock?ms=${ms}`, url));
}

/** Writes keys for the files of the app that are in the pool. */
async function putKeys({ url, kv }: WorkerProcess): Promise<void> {
  await putManifestIfMissing(await kv());
  const present = APP.filter(({ checksum }) => PRESENT.has(checksum.value));
  const keys = present.map(({ checksum, size_in_bytes }) => resourceKey(checksum.value, size_in_bytes));
  await fetch(new URL("/put-keys", url), { method: "POST", body: JSON.stringify(keys) });
}
