/**
 * An app: for each request its files, given by their number and mode. A number beyond the pool is a file too small to
 * match. Every request but the last is filled up to 5,000 with files too small to match; an empty last one is not sent.
 */
export type App = (readonly [file: number, mode: string])[][];

/** The change to an app between the first run of cf and the second. */
export interface Edit {
  how: "add" | "drop" | "replace";
  request: number;
  file: number;
}

/** How a client identifies the requests of one run of cf. */
export type Client =
  /** cf CLI 8.12 or later: one trace id for all requests of a run. */
  | "identified"
  /** cf CLI 8.12 or later with CF_B3_TRACE_ID: one trace id for all runs. */
  | "pinned"
  /** cf CLI 8.12 or later behind a proxy that removes the id. */
  | "id-removed"
  /** An earlier cf CLI, which sends no id. */
  | "old-cf"
  /** An earlier cf CLI behind a proxy that adds a new id to each request. */
  | "old-cf-traced";

/** Where the code throws. */
export type Bug =
  /** Before the token is verified. */
  | "in-authentication"
  /** Before the session object is called. */
  | "before-session"
  /** After the look-up; a request of 5,000 has decided nothing yet. */
  | "after-lookup"
  /** After the decision; that of a request of 5,000 is stored. */
  | "after-decision";

/** A fault that affects one request of the first run of a push: it starts just before the request is sent. */
export type RequestFault =
  | "cloud-controller-error"
  | "cloud-controller-hang"
  | "cloud-controller-cut"
  | "cloud-controller-slow"
  | "kv-fail"
  | "kv-hang"
  | "kv-slow"
  /** A new isolate handles the request, and its first read of the manifest returns nothing. */
  | "manifest-miss"
  /** A new isolate of the same place, or an isolate of another place, handles the request. */
  | "other-isolate"
  | "other-place"
  /** The session object restarts before the request, or crashes during it. */
  | "sessions-restart"
  | "sessions-crash"
  /** The first call to the session object fails, before or after it has run. */
  | "sessions-lost"
  | "sessions-reply-lost"
  /** No call to the session object returns, or each takes 0.6 to 5 s longer. */
  | "sessions-hang"
  | "sessions-slow"
  /** The whole pool is reported to the catalog. */
  | "files-reported"
  /** A new snapshot is published. */
  | "snapshot-published"
  | "pool-wiped"
  /** A new version is deployed; the isolate that handles the request may be of the previous version. */
  | "deploy"
  /** The code throws. */
  | Bug
  /** A new isolate handles the request, and gets no keys from UAA. */
  | "uaa-error"
  | "uaa-hang";

/** The configuration of one simulated world. */
export interface Settings {
  seed: string;
  profile: string;
  /** The number of files that can be in the pool. */
  files: number;
  /** The number of KV's places. Requests are sent to each; the catalog runs in the first. */
  places: number;
  /** Isolates in each place. */
  isolates: number;
  variables: Record<string, string>;
  /** The apps that are pushed. */
  apps?: App[];
  hasBucket: boolean;
  hasCloudController: boolean;
  /** The daily KV quota: writes, and as many deletions. */
  kvOperationsPerDay: number;
  /** The longest delay of most messages, and of one in ten. */
  queueDelayMs: number;
  queueBacklogMs: number;
  queueDuplicates: number;
  /** The time from the last operation to the final checks. */
  settleMs: number;
}

/** One user or pipeline that pushes, and retries. */
export interface Push {
  push: number;
  /** The apps of the manifest, which one run of cf pushes one after the other. */
  apps: number[];
  caller: string;
  client: Client;
  place: number;
  isolate: number;
  /** Between a response and the next request. */
  gapMs: number;
  /** From the last response of an app until the Cloud Controller assembles the package. */
  uploadMs: number;
  /** The most runs of cf; the first that succeeds is the last. */
  maxRuns: number;
  /** Between two runs. */
  retryPauseMs: number;
  /** Changes the first app from the second run on. */
  edit?: Edit;
}

interface Lasting {
  durationMs: number;
}

/**
 * Something that someone does, or a fault. Faults with `afterEvents` take effect at the n-th event of the process from
 * now; those with a `share` affect that share of the calls, reads or writes.
 */
export type Action =
  /** A request for files, followed by `fillers` unknown files; the client disconnects after `hangUpAfterMs`. */
  | {
      type: "request";
      place: number;
      isolate: number;
      files: number[];
      fillers?: number;
      hasWrongSizes?: boolean;
      hangUpAfterMs?: number;
    }
  | ({ type: "push" } & Push)
  /** @param request counts from 0, over all apps of the run */
  | { type: "request-fault"; push: number; request: number; what: RequestFault }
  /** The pool loses files, or is restored to how it was `ageMs` ago, and this is not reported. */
  | { type: "lose"; how: "wipe" }
  | { type: "lose"; how: "some"; lostFiles: number[] }
  | { type: "lose"; how: "restore"; ageMs: number }
  /** The Cloud Controller adds a file to the pool, or deletes it. */
  | { type: "put" | "delete"; file: number }
  /** The operator lists some files, and reports those that are present. */
  | { type: "add"; files: number[]; reportDelayMs: number; clockErrorMs: number }
  /** The operator deletes files from the pool, and reports it. */
  | { type: "remove"; files: number[]; reportDelayMs: number; clockErrorMs: number }
  /** The operator lists the whole pool, and reports what is present; with `prune` also what is not. */
  | { type: "sync"; reportDelayMs: number; clockErrorMs: number; prune: boolean }
  | { type: "publish" | "forget" }
  /** The Worker is deployed, perhaps with another KEY_PREFIX; isolates of the previous version run for `overlapMs`. */
  | { type: "deploy"; prefix: string; overlapMs: number }
  /** The Worker is deployed with a wrong setting, which is corrected later; isolates of each version run for `overlapMs`. */
  | ({ type: "misconfigure"; overlapMs: number } & Lasting)
  /** The code throws in an isolate. */
  | ({ type: "bug"; place: number; isolate: number; bug: Bug } & Lasting)
  | ({ type: "uaa"; how: "error" | "hang" | "slow" } & Lasting)
  /** UAA signs with a new key. */
  | { type: "uaa-key" }
  | ({ type: "freeze"; place: number; isolate: number; afterEvents: number } & Lasting)
  | { type: "kill"; place: number; isolate: number; afterEvents: number }
  | ({ type: "crash-catalog" } & PlannedCrash)
  | ({ type: "crash-sessions"; caller: string } & PlannedCrash)
  | ({ type: "kv-reads"; place: number; how: "fail" | "hang" | "slow"; share: number } & Lasting)
  | ({
      type: "kv-writes";
      how: "refuse" | "fail" | "fail-after-write" | "late" | "hang";
      share: number;
    } & Lasting)
  | ({ type: "kv-lag"; place: number; lagMs: number; share: number } & Lasting)
  /** The next read of the manifest in a place returns nothing. */
  | { type: "kv-manifest-miss"; place: number }
  | ({ type: "cloud-controller"; how: "error" | "hang" | "cut" | "slow" | "refuse" } & Lasting)
  | ({ type: "bucket"; how: "fail" | "hang" } & Lasting)
  /** The platform runs no alarm. */
  | ({ type: "alarms-paused" } & Lasting)
  /** Calls to the catalog, or their replies, are lost. */
  | ({ type: "catalog-calls"; how: "lost" | "reply-lost"; share: number } & Lasting)
  /** Calls to a caller's session object, or to all session objects. */
  | ({ type: "session-calls"; caller: string; how: SessionFault; share: number; slowMs?: number } & Lasting);

/** An instance of a Durable Object ends. */
interface PlannedCrash {
  afterEvents: number;
  /** The share of the last event's writes that become durable. */
  writtenShare: number;
  /** Whether the messages that depend on these writes are sent. */
  areMessagesSent: boolean;
}

export type SessionFault = "lost" | "reply-lost" | "hang" | "slow";
/** In place of a caller: all session objects. */
export const ALL_CALLERS = "all";

/** An action at a time in ms since the start. */
export type Operation = { at: number } & Action;

export interface Schedule {
  settings: Settings;
  operations: Operation[];
}

/** An operation in one line. */
export function describe({ at, ...action }: Operation): string {
  const { type, ...options } = action;
  const described = Object.entries(options).map(
    ([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`,
  );
  return `${formatTime(at)} ${type}${described.length > 0 ? `: ${described.join(", ")}` : ""}`;
}

/** A time since the start as hh:mm:ss.mmm. */
export function formatTime(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const pad = (value: number, digits = 2) => String(value).padStart(digits, "0");
  return `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}.${pad(ms % 1000, 3)}`;
}
