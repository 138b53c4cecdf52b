import { Client } from "../support/client.ts";
import { interleaved, median, type Range, rangeOf, rangeText, rounded } from "../support/measure.ts";
import { MILLION, millionFiles } from "../support/pool.ts";
import { app, STOCK_MINIMUM_BYTES, STOCK_SMALL_SHARE } from "../support/resources.ts";
import type { Cell, Findings, Section, Target } from "../support/section.ts";
import { startUaa } from "../support/uaa.ts";
import { putSnapshot, startWorker, type WorkerProcess } from "../support/worker-process.ts";

const RUNS = 5;
/** Each of a user: the decisions of one user's pushes within ten minutes have a limit. */
const APPS = 8;
interface Limits {
  time?: number;
  cpu?: number;
}

/** CPU is counted in hundredths of a second: of so many requests together. */
const SIZES: { files: number; rounds: number; max: Limits; without?: Limits }[] = [
  { files: 1, rounds: 200, max: { time: 1.5 } },
  { files: 100, rounds: 150, max: { time: 1.5 } },
  { files: 4_999, rounds: 40, max: { time: 1 } },
  { files: 5_000, rounds: 40, max: { time: 1.3 } },
];
const STOCK = { files: 5_000, rounds: 40, smallShare: STOCK_SMALL_SHARE };

const WAYS = ["worker", "forgetful", "echo"] as const;
type Way = (typeof WAYS)[number];
/** Milliseconds a request of each, and what the first two take against the echo. */
type Ranges = Record<Way | "ratio" | "forgetfulRatio", Range>;

interface Figures {
  files: number;
  time: Ranges;
  /** Of workerd. */
  cpu: Ranges;
}

/** The Worker over HTTP, token and push session included, against one that only echoes the JSON that it has parsed. */
export const http: Section = {
  name: "http",
  async run(): Promise<Findings> {
    const uaa = await startUaa();
    const tokens = await Promise.all(
      Array.from({ length: APPS }, (_, user) => uaa.tokenOf(`developer ${user}`)),
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
            const process = await startWorker(way === "worker" ? "index" : way, uaa.url, variables);
            const url = way === "echo" ? process.url : endpoint(process);
            sides[way] = { process, client: new Client(url) };
            if (way !== "echo") await putSnapshot(process, millionFiles());
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
        for (const size of SIZES) all.push(await figures(sides, tokens, size));
      });
      const stock = await withSides({ MINIMUM_SIZE: `${STOCK_MINIMUM_BYTES}` }, (sides) =>
        figures(sides, tokens, STOCK),
      );

      return {
        tables: [
          {
            title: "Through workerd over HTTP, all held by a warm snapshot of 10^6",
            columns: ["resources", "", "Worker", "without push session", "echo", "ratio", "ratio without"],
            rows: [...all, stock].flatMap((each): Cell[][] => {
              const what = each === stock ? `${each.files}, as a stock foundation has them` : each.files;
              return [
                [what, "ms a request", ...cells(each.time)],
                [what, "CPU ms of workerd", ...cells(each.cpu)],
              ];
            }),
            note:
              `Medians of ${RUNS} runs and their range, in turn on one connection each. Each request is a push of its own. The Worker ` +
              "verifies the token and calls the push session once, which stores the decisions for 5,000 resources; the echo answers " +
              "JSON.stringify of JSON.parse. In the last rows nine of ten files are smaller than MINIMUM_SIZE, and are not in the " +
              "Worker's answer; the echo answers them all.",
          },
        ],
        targets: all.flatMap(targetsOf),
      };
    } finally {
      uaa.stop();
    }
  },
};

function cells({ worker, forgetful, echo, ratio, forgetfulRatio }: Ranges): string[] {
  return [worker, forgetful, echo, ratio, forgetfulRatio].map(rangeText);
}

interface Side {
  process: WorkerProcess;
  client: Client;
}

async function figures(
  sides: Record<Way, Side>,
  tokens: readonly string[],
  { files, rounds, smallShare = 0 }: { files: number; rounds: number; smallShare?: number },
): Promise<Figures> {
  const bodies = Array.from({ length: APPS }, (_, round) => bodyOf(files, round, smallShare));
  const body = (round: number) => bodies[round % APPS] as Buffer;
  const post = (way: Way) => (round: number) =>
    sides[way].client.post(body(round), { Authorization: `Bearer ${tokens[round % APPS]}` });
  const compared = smallShare > 0 ? (["worker", "forgetful"] as const) : WAYS;
  for (let round = 0; round < APPS; round++) {
    await post("echo")(round);
    await sameBytes(compared.map((way) => post(way)(round)));
  }
  const runs: Record<"time" | "cpu", Record<Way, number>[]> = { time: [], cpu: [] };
  for (let run = 0; run < RUNS; run++) {
    const times = await interleaved(rounds, {
      worker: post("worker"),
      forgetful: post("forgetful"),
      echo: post("echo"),
    });
    runs.time.push(each((way) => median(times[way])));
    const cpu = {} as Record<Way, number>;
    for (const way of WAYS) cpu[way] = await cpuPerRequest(sides[way].process, rounds, post(way));
    runs.cpu.push(cpu);
  }
  return { files, time: rangesOf(runs.time), cpu: rangesOf(runs.cpu) };
}

function each<T>(of: (way: Way) => T): Record<Way, T> {
  return { worker: of("worker"), forgetful: of("forgetful"), echo: of("echo") };
}

function rangesOf(runs: readonly Record<Way, number>[]): Ranges {
  return {
    ...each((way) => rangeOf(runs.map((run) => run[way]))),
    ratio: rangeOf(runs.map(({ worker, echo }) => worker / echo)),
    forgetfulRatio: rangeOf(runs.map(({ forgetful, echo }) => forgetful / echo)),
  };
}

function targetsOf({ files, time, cpu }: Figures): Target[] {
  const { max, without } = SIZES.find((size) => size.files === files) ?? {};
  const targets: Target[] = [];
  const add = (what: string, { most }: Range, atMost: number | undefined) => {
    const name = `Worker against echo, ${files} resources, ${what}`;
    if (atMost !== undefined) targets.push({ what: name, measured: rounded(most), atMost, unit: "x" });
  };
  add("time", time.ratio, max?.time);
  add("CPU", cpu.ratio, max?.cpu);
  add("time, without the push session", time.forgetfulRatio, without?.time);
  add("CPU, without the push session", cpu.forgetfulRatio, without?.cpu);
  return targets;
}

function bodyOf(files: number, round: number, smallShare = 0): Buffer {
  return Buffer.from(
    JSON.stringify({ resources: app(files, MILLION, { presentShare: 1, round, smallShare }) }),
  );
}

/** What is compared must be the same: all resources are held, and all are echoed. */
async function sameBytes(posts: Promise<number>[]): Promise<void> {
  const lengths = new Set(await Promise.all(posts));
  if (lengths.size > 1) throw new Error(`answers of ${[...lengths].join(", ")} bytes`);
}

/** Milliseconds of all of workerd's threads. */
async function cpuPerRequest(
  worker: WorkerProcess,
  requests: number,
  post: (round: number) => Promise<number>,
): Promise<number> {
  const before = worker.usage().cpuMs;
  for (let round = 0; round < requests; round++) await post(round);
  return (worker.usage().cpuMs - before) / requests;
}
