import {
  SESSION_IDLE_MAX_MS,
  SESSION_OLD_MS,
  SESSION_PAUSE_MS,
  UNIDENTIFIED_SESSION_IDLE_MS,
} from "../time/time-guarantees.ts";

/** When the requests of a session arrived, in ms since the epoch. */
export interface SessionTimes {
  isIdentified: boolean;
  firstAt: number;
  /** In an unidentified session, only requests of 5,000 resources count. */
  lastAt: number;
}

/** Whether a session has ended. Its decisions no longer count then. */
export function isExpired({ isIdentified, firstAt, lastAt }: SessionTimes, now: number): boolean {
  const idleMs = now - lastAt;
  if (now - firstAt > SESSION_OLD_MS && idleMs > SESSION_PAUSE_MS) return true;
  return idleMs > (isIdentified ? SESSION_IDLE_MAX_MS : UNIDENTIFIED_SESSION_IDLE_MS);
}
