const MINUTE_MS = 60 * 1000;

/** Every session has ended after this time without a request. */
export const IDLE_MAX_MS = 10 * MINUTE_MS;

/** After the last request of the session: cf CLI never pauses that long between two requests of an app. */
const IDENTIFIED_IDLE_MS = IDLE_MAX_MS;
/** After the last request of 5,000. The session is shared by pushes that may not see what others have uploaded until it ends. */
const UNIDENTIFIED_IDLE_MS = 5 * MINUTE_MS;
/** A session that is older than this ends in the next pause: at a fixed time it would end in the middle of an app. */
const OLD_MS = 30 * MINUTE_MS;
const PAUSE_MS = 3 * MINUTE_MS;

/** When a session's requests came, in ms since the epoch. */
export interface SessionTimes {
  isIdentified: boolean;
  firstAt: number;
  /** In an unidentified session: of the last request of 5,000. */
  lastAt: number;
}

/** Whether a session has ended: its decisions count no longer. */
export function isExpired({ isIdentified, firstAt, lastAt }: SessionTimes, now: number): boolean {
  const idleMs = now - lastAt;
  if (now - firstAt > OLD_MS && idleMs > PAUSE_MS) return true;
  return idleMs > (isIdentified ? IDENTIFIED_IDLE_MS : UNIDENTIFIED_IDLE_MS);
}
