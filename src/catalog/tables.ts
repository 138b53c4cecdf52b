/**
 * The catalog's tables. Changes are numbered; the revision of all that were observed together is the number of their first.
 *
 * Rows written are what a Durable Object costs: a resource is a row and one in the index, by which both the changes
 * since a revision and the keys that are not written yet are found.
 */
export const TABLES = `
  CREATE TABLE IF NOT EXISTS resources (
    sha1 BLOB PRIMARY KEY,
    size INTEGER,                 -- bytes; null where only its removal was told
    measured INTEGER NOT NULL,    -- 1 where the size was measured
    state INTEGER NOT NULL,       -- one of STATE
    observed_at INTEGER NOT NULL, -- ms since the epoch: the later observation wins
    revision INTEGER NOT NULL     -- when it was present last anew, or removed
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS by_state ON resources (state, revision);

  -- What was present with this size and is no longer: the cache may still say so.
  CREATE TABLE IF NOT EXISTS departed (
    prefix TEXT NOT NULL,
    sha1 BLOB NOT NULL,
    size INTEGER NOT NULL,
    revision INTEGER NOT NULL,    -- when it departed
    departed_at INTEGER NOT NULL, -- ms since the epoch
    keyed INTEGER NOT NULL,       -- 1 where Workers KV may have its key
    deleted_at INTEGER,           -- when the key was deleted
    PRIMARY KEY (prefix, sha1, size)
  ) WITHOUT ROWID;

  -- Values of the cache, recorded before they are written; superseded_at once no manifest names them any more.
  CREATE TABLE IF NOT EXISTS published_objects (
    prefix TEXT NOT NULL,
    name TEXT NOT NULL,
    superseded_at INTEGER,
    PRIMARY KEY (prefix, name)
  ) WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS memory (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`;

/** The states of a resource; the first three are held. */
export const STATE = { unkeyed: 0, keyBegun: 1, keyed: 2, removed: 3 } as const;
export const PRESENT_STATES: readonly number[] = [STATE.unkeyed, STATE.keyBegun, STATE.keyed];
