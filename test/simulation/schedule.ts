/**
 * An app, request by request: numbers of files, each with its mode; a number beyond the pool's is a small file. Files too small to match fill every request but the
 * last up to 5,000; an empty last one is not sent.
 */
export type App = (readonly [file: number, mode: string])[][];

/** What befalls one request of a push's first try: before it is sent, or while it is answered. */
export type Misfortune =
  | "cloud-controller-error"
  | "cloud-controller-hang"
  | "cloud-controller-cut"
  | "cloud-controller-slow"
  | "kv-fail"
  | "kv-hang"
  | "kv-slow"
  /** Another isolate answers, of the same place or of another. */
  | "isolate"
  | "elsewhere"
  /** The caller's push memory ends, and begins again from what it has stored. */
  | "memory"
  /** A new snapshot, after the catalog was told of what the pool holds, or as it is. */
  | "learned"
  | "publication"
  | "wipe";

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

export interface Push {
  push: number;
  app: number;
  caller: string;
  place: number;
  isolate: number;
  /** Ms between an answer and the next request. */
  gap: number;
  /** Ms from the last answer until the Cloud Controller assembles the package. */
  uploads: number;
  tries: number;
  pause: number;
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
  /** A whole push, tried again `pause` ms after it has failed. */
  | ({ do: "push" } & Push)
  /** @param request counts from 0 */
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
  | ({ do: "cloud-controller"; how: "error" | "hang" | "cut" | "slow" | "refuse" } & Spell)
  | ({ do: "bucket"; how: "fail" | "hang" } & Spell)
  /** The platform runs no alarm. */
  | ({ do: "alarms-stand" } & Spell)
  /** Calls to the catalog, or their answers, are lost. */
  | ({ do: "network"; how: "lost" | "answer-lost"; share: number } & Spell);

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
    ([key, value]) => `${key} ${Array.isArray(value) ? value.join(",") : value}`,
  );
  return `${clock(at)} ${name}${told.length > 0 ? `: ${told.join(", ")}` : ""}`;
}

/** Hours, minutes and seconds of a time after the beginning. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number, digits = 2) => String(value).padStart(digits, "0");
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${two(ms % 1000, 3)}`;
}
