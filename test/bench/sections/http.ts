import { Client } from "../support/client.ts";
import { formatRange, measureInterleaved, median, type Range, rangeOf, round } from "../support/measure.ts";
import { MILLION, packMillionFiles } from "../support/pool.ts";
import { createApp, STOCK_MINIMUM_BYTES, STOCK_SMALL_SHARE } from "../support/resources.ts";
import type { Cell, Findings, Section, Target } from "../support/section.ts";
import { startUaa } from "../support/uaa.ts";
import { putSnapshot, startWorker, type WorkerProcess } from "../support/worker-process.ts";

const RUNS = 5;
/** Each app has its own user, because the decisions of one user within ten minutes are limited. */
const APPS = 8;
interface Limits {
  time?: number;
  cpu?: number;
}

/** `rounds`: requests whose CPU time is measured together, because its unit is 10 ms. */
const SIZES: { files: number; rounds: number; max: Limits; without?: Limits }[] = [
  { files: 1, rounds: 200, max: { time: 1.5 } },
  { files: 100, rounds: 150, max: { time: 1.5 } },
  { files: 4_999, rounds: 40, max: { time: 1 } },
  { files: 5_000, rounds: 40, max: { time: 1.3 } },
];
const STOCK = { files: 5_000, rounds: 40, smallShare: STOCK_SMALL_SHARE };

const WAYS = ["worker", "noSessions", "echo"] as const;
type Way = (typeof WAYS)[number];
const WORKERS = { worker: "index", noSessions: "no-sessions", echo: "echo" } as const;
/** Milliseconds per request, and the ratios of the first two to the echo. */
type Ranges = Record<Way | "ratio" | "noSessionsRatio", Range>;

interface Figures {
  files: number;
  time: Ranges;
  /** CPU of workerd. */
  cpu: Ranges;
}

/** Measures the Worker over HTTP, with token and push session, and compares it with a Worker that echoes parsed JSON. */
export const http: Section = {
  name: "http",
  async run(): Promise<Findings> {
    const uaa = await startUaa();
    const tokens = await Promise.all(
      Array.from({ length: APPS }, (_, user) => uaa.issueToken(`developer ${user}`)),
    );
    const endpoint = ({ url }: WorkerProcess) => new URL("/v3/resource_matches", url);
    try {
      const withSides = async <T>(
        variables: Record<string, string>,
        work: (sides: Record<Way, Side>) => Promise<T>,
      ): Promise<T> => {
        const sides = {} as Record<Way, Side>;
        try {
          for (const way of WAYS) {
            const process = await startWorker(WORKERS[way], uaa.url, variables);
            const url = way === "echo" ? process.url : endpoint(process);
            sides[way] = { process, client: new Client(url) };
            if (way !== "echo") await putSnapshot(process, packMillionFiles());
          }
          return await work(sides);
        } finally {
          for (const { process, client } of Object.values(sides)) {
            client.close();
            await process.stop();
          }
        }
      };
      const all: Figures[] = [];
      await withSides({}, async (sides) => {
        for (const size of SIZES) all.push(await measure(sides, tokens, size));
      });
      const stock = await withSides({ MINIMUM_SIZE: `${STOCK_MINIMUM_BYTES}` }, (sides) =>
        measure(sides, tokens, STOCK),
      );

      return {
        tables: [
          {
            title: "Over HTTP through workerd, all resources in a warm snapshot of 10^6",
            columns: ["resources", "", "Worker", "without push sessions", "echo", "ratio", "ratio without"],
            rows: [...all, stock].flatMap((each): Cell[][] => {
              const what = each === stock ? `${each.files}, stock foundation` : each.files;
              return [
                [what, "ms per request", ...formatRanges(each.time)],
                [what, "CPU ms per request", ...formatRanges(each.cpu)],
              ];
            }),
            note:
              `Medians and ranges of ${RUNS} runs, in turn, on one connection each. Each request is a separate push. The Worker ` +
              "verifies the token and calls the push session once, which stores the decisions for 5,000 resources. The echo returns " +
              "JSON.stringify of JSON.parse. In the last rows nine of ten files are smaller than MINIMUM_SIZE: the Worker does not " +
              "return them, the echo does. CPU is that of workerd.",
          },
        ],
        targets: all.flatMap(targetsOf),
      };
    } finally {
      uaa.stop();
    }
  },
};

function formatRanges({ worker, noSessions, echo, ratio, noSessionsRatio }: Ranges): string[] {
  return [worker, noSessions, echo, ratio, noSessionsRatio].map(formatRange);
}

interface Side {
  process: WorkerProcess;
  client: Client;
}

async function measure(
  sides: Record<Way, Side>,
  tokens: readonly string[],
  { files, rounds, smallShare = 0 }: { files: number; rounds: number; smallShare?: number },
): Promise<Figures> {
  const bodies = Array.from({ length: APPS }, (_, round) => createBody(files, round, smallShare));
  const body = (round: number) => bodies[round % APPS] as Buffer;
  const post = (way: Way) => (round: number) =>
    sides[way].client.post(body(round), { Authorization: `Bearer ${tokens[round % APPS]}` });
  const compared = smallShare > 0 ? (["worker", "noSessions"] as const) : WAYS;
  for (let round = 0; round < APPS; round++) {
    await post("echo")(round);
    await checkSameLength(compared.map((way) => post(way)(round)));
  }
  const runs: Record<"time" | "cpu", Record<Way, number>[]> = { time: [], cpu: [] };
  for (let run = 0; run < RUNS; run++) {
    const times = await measureInterleaved(rounds, {
      worker: post("worker"),
      noSessions: post("noSessions"),
      echo: post("echo"),
    });
    runs.time.push(each((way) => median(times[way])));
    const cpu = {} as Record<Way, number>;
    for (const way of WAYS) cpu[way] = await measureCpu(sides[way].process, rounds, post(way));
    runs.cpu.push(cpu);
  }
  return { files, time: rangesOf(runs.time), cpu: rangesOf(runs.cpu) };
}

function each<T>(of: (way: Way) => T): Record<Way, T> {
  return { worker: of("worker"), noSessions: of("noSessions"), echo: of("echo") };
}

function rangesOf(runs: readonly Record<Way, number>[]): Ranges {
  return {
    ...each((way) => rangeOf(runs.map((run) => run[way]))),
    ratio: rangeOf(runs.map(({ worker, echo }) => worker / echo)),
    noSessionsRatio: rangeOf(runs.map(({ noSessions, echo }) => noSessions / echo)),
  };
}

function targetsOf({ files, time, cpu }: Figures): Target[] {
  const { max, without } = SIZES.find((size) => size.files === files) ?? {};
  const targets: Target[] = [];
  const add = (what: string, { max }: Range, atMost: number | undefined) => {
    const name = `Worker against echo, ${files} resources, ${what}`;
    if (atMost !== undefined) targets.push({ what: name, measured: round(max), atMost, unit: "x" });
  };
  add("time", time.ratio, max?.time);
  add("CPU", cpu.ratio, max?.cpu);
  add("time, without push sessions", time.noSessionsRatio, without?.time);
  add("CPU, without push sessions", cpu.noSessionsRatio, without?.cpu);
  return targets;
}

function createBody(files: number, round: number, smallShare = 0): Buffer {
  return Buffer.from(
    JSON.stringify({ resources: createApp(files, MILLION, { presentShare: 1, round, smallShare }) }),
  );
}

/** Checks that the compared responses have the same length: all resources are present, and all are echoed. */
async function checkSameLength(posts: Promise<number>[]): Promise<void> {
  const lengths = new Set(await Promise.all(posts));
  if (lengths.size > 1) throw new Error(`responses of ${[...lengths].join(", ")} bytes`);
}

/** Returns the CPU time of all threads of workerd, in ms per request. */
async function measureCpu(
  worker: WorkerProcess,
  requests: number,
  post: (round: number) => Promise<number>,
): Promise<number> {
  const before = worker.usage().cpuMs;
  for (let round = 0; round < requests; round++) await post(round);
  return (worker.usage().cpuMs - before) / requests;
}
