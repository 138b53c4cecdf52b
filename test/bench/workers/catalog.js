import { Catalog as BuiltCatalog } from "./index.js";

export { PushSessions } from "./index.js";

/**
 * The built catalog with an alarm that runs only on request, and with a KV that takes no time and no memory. So only the
 * object itself is measured.
 */
const written = { values: 0, bytes: 0 };
const RESOURCE_CACHE = {
  get: async () => null,
  put: async (_name, value) => {
    written.values += 1;
    written.bytes += value.length;
  },
  delete: async () => {},
};

const FILLED_ROWS = 50_000;

/** The cursors of the alarm, which have the rows that it read. */
const cursors = [];
let isCounting = false;

function countRows(sql) {
  if (isCounting) return;
  isCounting = true;
  const methods = Object.getPrototypeOf(sql);
  const { exec } = methods;
  methods.exec = function (...parameters) {
    const cursor = exec.apply(this, parameters);
    cursors.push(cursor);
    return cursor;
  };
}

export class Catalog extends BuiltCatalog {
  constructor(ctx, env) {
    countRows(ctx.storage.sql);
    super(ctx, { ...env, RESOURCE_CACHE });
  }

  async alarm() {}

  /** Inserts 50,000 resources as if they had been observed together with the last ones. */
  async fill() {
    this.ctx.storage.sql.exec(
      `WITH RECURSIVE rows (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows WHERE n < ?)
       INSERT INTO resources (sha1, size, size_verified, state, observed_at, revision)
       SELECT randomblob(20), n, 1, 0, ?, (SELECT revision FROM resources ORDER BY sha1 LIMIT 1) FROM rows`,
      FILLED_ROWS,
      Date.now(),
    );
  }

  /** Counts the inserted resources as changes, and starts a new instance, which reads that number. */
  async restart() {
    this.ctx.storage.sql.exec(
      `UPDATE catalog_state SET value =
        json_set(value, '$.revision', (SELECT COUNT(*) FROM resources), '$.dirtySince', ?)`,
      Date.now(),
    );
    await this.ctx.storage.sync();
    this.ctx.abort("restart");
  }

  /** @returns the values that the alarm wrote, their bytes, the rows that it read, and the bytes of the tables */
  async runAlarm() {
    Object.assign(written, { values: 0, bytes: 0 });
    cursors.length = 0;
    await super.alarm();
    const rowsRead = cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0);
    return { ...written, rowsRead, tableBytes: this.ctx.storage.sql.databaseSize };
  }
}

export default {
  async fetch(request, env) {
    const catalog = env.CATALOG.getByName("catalog");
    const { pathname } = new URL(request.url);
    if (pathname === "/observe") return Response.json(await catalog.observe(await request.json()));
    if (pathname === "/alarm") return Response.json(await catalog.runAlarm());
    if (pathname === "/fill") await catalog.fill();
    if (pathname === "/restart") await catalog.restart().catch(() => {});
    if (pathname === "/publish") await catalog.publish();
    return Response.json(pathname === "/status" ? await catalog.status() : {});
  },
};
