/**
 * An app, request by request: numbers of files, each with its mode; a number beyond the pool's is a small file. Files too
 * small to match fill every request but the last up to 5,000; an empty last one is not sent.
 */
export type App = (readonly [file: number, mode: string])[][];

/** What the person who pushes has changed in an app before the second try. */
export interface Edit {
  how: "add" | "drop" | "replace";
  request: number;
  file: number;
}

/** How the Worker can tell which requests belong to one run of cf. */
export type Client =
  /** cf CLI 8.12 or later: one trace id for all requests of a run. */
  | "identified"
  /** The same, but every run has the id of CF_B3_TRACE_ID. */
  | "pinned"
  /** The same, behind a proxy that removes the id. */
  | "stripped"
  /** An earlier cf CLI, which sends no id. */
  | "old"
  /** An earlier cf CLI, behind a proxy that adds a new id to each request. */
  | "old-traced";

/** What happens to one request of a push's first run: before it is sent, or while it is answered. */
export type Misfortune =
  | "cloud-controller-error"
  | "cloud-controller-hang"
  | "cloud-controller-cut"
  | "cloud-controller-slow"
  | "kv-fail"
  | "kv-hang"
  | "kv-slow"
  /** The first read of the manifest finds nothing; the isolate is a new one. */
  | "manifest-missing"
  /** Another isolate answers, of the same place or of another. */
  | "isolate"
  | "elsewhere"
  /** The caller's session object ends before the request, or in the middle of it. */
  | "sessions-restart"
  | "sessions-reset"
  /** The first call to the session object fails, before or after it has done its work. */
  | "sessions-lost"
  | "sessions-reply-lost"
  /** No call to the session object returns, or each takes 0.6 to 5 s longer. */
  | "sessions-hang"
  | "sessions-slow"
  /** A new snapshot, after the catalog was told of what the pool holds, or as it is. */
  | "learned"
  | "publication"
  | "wipe"
  /** The Worker is deployed; the isolate that answers is still of the version before. */
  | "deploy";

/** What one world is made of. */
export interface Settings {
  seed: string;
  profile: string;
  /** Files that the pool may ever hold. */
  files: number;
  /** KV's places; requests come to each, and the catalog stands in the first. */
  places: number;
  /** Isolates in each place. */
  isolates: number;
  variables: Record<string, string>;
  /** None where nobody pushes. */
  apps?: App[];
  hasBucket: boolean;
  hasCloudController: boolean;
  /** Writes, and as many deletions, that KV takes a day. */
  kvOperationsPerDay: number;
  /** Longest delay of most messages, and of a few, ms. */
  queueDelayMs: number;
  queueBacklogMs: number;
  queueDuplicates: number;
  /** Until the judge looks for the last time. */
  settleMs: number;
}

/** One person or pipeline that pushes, and tries again. */
export interface Push {
  push: number;
  /** The apps of the manifest, which one run of cf pushes one after the other. */
  apps: number[];
  caller: string;
  client: Client;
  place: number;
  isolate: number;
  /** Ms between an answer and the next request. */
  gap: number;
  /** Ms from the last answer of an app until the Cloud Controller assembles the package. */
  uploads: number;
  /** Runs of cf at most, until one ends well. */
  tries: number;
  /** Ms between two of them. */
  pause: number;
  /** Of the first app. */
  edit?: Edit;
}

interface Spell {
  /** Ms. */
  lasts: number;
}

/** Something that somebody does, or that goes wrong. */
export type Deed =
  /** A push asks for files; `hangsUpAfter` ms the client is gone. */
  | {
      do: "ask";
      place: number;
      isolate: number;
      files: number[];
      padding?: number;
      madeUp?: boolean;
      hangsUpAfter?: number;
    }
  /** Whole runs of cf, the next one `pause` ms after one has failed. */
  | ({ do: "push" } & Push)
  /** @param request counts from 0, over all apps of the run */
  | { do: "misfortune"; push: number; request: number; what: Misfortune }
  /** Files leave the pool, or it is put back to how it was `since` ms ago, and nobody tells. */
  | { do: "lose"; how: "wipe" }
  | { do: "lose"; how: "some"; lost: number[] }
  | { do: "lose"; how: "restore"; since: number }
  /** The Cloud Controller puts a file into the pool, or it goes. */
  | { do: "put" | "delete"; file: number }
  /** The operator lists some files, and tells of those that are held `tellsAfter` ms later. */
  | { do: "add"; files: number[]; tellsAfter: number; clock: number }
  /** The operator deletes files from the pool, and tells it `tellsAfter` ms later. */
  | { do: "remove"; files: number[]; tellsAfter: number; clock: number }
  /** The operator lists the whole pool, and tells `tellsAfter` ms later what is held, and what is not. */
  | { do: "sync"; tellsAfter: number; clock: number; prunes: boolean }
  | { do: "publish" | "forget" }
  /** The Worker is deployed with another KEY_PREFIX; isolates of the version before go on for `overlap` ms. */
  | { do: "deploy"; prefix: string; overlap: number }
  | { do: "freeze"; place: number; isolate: number; events: number; lasts: number }
  | { do: "kill"; place: number; isolate: number; events: number }
  /** The catalog's instance ends in its n-th event from now, with a share of that event's writes. */
  | { do: "restart"; events: number; written: number; sent: boolean }
  | ({ do: "kv-reads"; place: number; how: "fail" | "hang" | "slow"; share: number } & Spell)
  | ({ do: "kv-writes"; how: "refuse" | "fail" | "fail-landed" | "late" | "hang"; share: number } & Spell)
  | ({ do: "kv-lag"; place: number; by: number; share: number } & Spell)
  /** The next read of the manifest in a place finds nothing. */
  | { do: "kv-null"; place: number }
  | ({ do: "cloud-controller"; how: "error" | "hang" | "cut" | "slow" | "refuse" } & Spell)
  | ({ do: "bucket"; how: "fail" | "hang" } & Spell)
  /** The platform runs no alarm. */
  | ({ do: "alarms-stand" } & Spell)
  /** Calls to the catalog, or their replies, are lost. */
  | ({ do: "network"; how: "lost" | "reply-lost"; share: number } & Spell)
  /** Calls to a caller's session object, or to all of them, fail, hang or are slow. */
  | ({ do: "sessions"; caller: string; how: SessionTrouble; share: number; slowMs?: number } & Spell)
  /** A caller's session object ends in its n-th event from now, with a share of that event's writes. */
  | { do: "reset-sessions"; caller: string; events: number; written: number; sent: boolean };

export type SessionTrouble = "lost" | "reply-lost" | "hang" | "slow";
/** In place of a caller: every session object. */
export const EVERYBODY = "everybody";

/** Ms after the beginning. */
export type Operation = { at: number } & Deed;

export interface Schedule {
  settings: Settings;
  operations: Operation[];
}

/** One line for a person. */
export function describe({ at, ...deed }: Operation): string {
  const { do: name, ...details } = deed;
  const told = Object.entries(details).map(
    ([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`,
  );
  return `${clock(at)} ${name}${told.length > 0 ? `: ${told.join(", ")}` : ""}`;
}

/** Hours, minutes and seconds of a time after the beginning. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number, digits = 2) => String(value).padStart(digits, "0");
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${two(ms % 1000, 3)}`;
}
