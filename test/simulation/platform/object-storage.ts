import { DatabaseSync, type StatementSync } from "node:sqlite";

type Binding = string | number | null | ArrayBuffer | Uint8Array;
type Row = Record<string, string | number | null | ArrayBuffer>;

interface Prepared {
  statement: StatementSync;
  columns: string[];
}

/**
 * The storage of a Durable Object: SQLite, and the time of its alarm. Writes without an `await` between them are one group,
 * which is stored completely or not at all.
 */
export class ObjectStorage {
  readonly #database = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, Prepared>();
  /** For each group of the current event, the alarm before it. */
  #groups: (number | null)[] = [];
  #isGroupOpen = false;
  #alarm: number | null = null;

  /** The alarm's time, in ms since the epoch. */
  get alarm(): number | null {
    return this.#alarm;
  }

  set alarm(time: number | null) {
    this.#touch();
    this.#alarm = time;
  }

  /** Called before a write, which becomes part of the current group or of a new one. */
  #touch(): void {
    if (this.#isGroupOpen) return;
    if (this.#groups.length === 0) this.#run("BEGIN");
    this.#run(`SAVEPOINT event_${this.#groups.length}`);
    this.#groups.push(this.#alarm);
    this.#isGroupOpen = true;
    queueMicrotask(() => {
      this.#isGroupOpen = false;
    });
  }

  /** The number of groups that the current event has written. */
  get groups(): number {
    return this.#groups.length;
  }

  /** Makes the first `groups` of the event durable, and rolls the others back. */
  commit(groups = this.#groups.length): void {
    if (this.#groups.length === 0) return;
    if (groups < this.#groups.length) {
      this.#run(`ROLLBACK TO event_${groups}`);
      this.#alarm = this.#groups[groups] as number | null;
    }
    this.#run("COMMIT");
    this.#groups = [];
    this.#isGroupOpen = false;
  }

  /** The part of `ctx.storage` that the objects use. */
  readonly api = {
    sql: { exec: (query: string, ...bindings: Binding[]) => this.#exec(query, bindings) },
    transactionSync: <T>(work: () => T): T => {
      this.#touch();
      this.#run("SAVEPOINT work");
      try {
        const result = work();
        this.#run("RELEASE work");
        return result;
      } catch (error) {
        this.#run("ROLLBACK TO work");
        this.#run("RELEASE work");
        throw error;
      }
    },
    setAlarm: async (time: number | Date): Promise<void> => {
      this.alarm = Number(time);
    },
    getAlarm: async (): Promise<number | null> => this.#alarm,
    deleteAll: async (): Promise<void> => {
      const query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
      for (const { name } of this.#database.prepare(query).all()) this.#exec(`DROP TABLE ${name}`, []);
      this.alarm = null;
      // Prepared statements refer to the dropped tables.
      this.#statements.clear();
    },
    deleteAlarm: async (): Promise<void> => {
      this.alarm = null;
    },
  };

  close(): void {
    this.#database.close();
  }

  #exec(query: string, bindings: Binding[]) {
    const statements = bindings.length === 0 ? statementsOf(query) : [query];
    if (statements.length > 1) {
      for (const statement of statements) this.#exec(statement, []);
      return new Cursor([], []);
    }
    if (!READ.test(query)) this.#touch();
    const { statement, columns } = this.#prepared(query);
    const values = bindings.map(toSqlite);
    if (columns.length > 0) return new Cursor(columns, statement.all(...values) as Row[]);
    return new Cursor([], [], Number(statement.run(...values).changes));
  }

  #prepared(query: string): Prepared {
    let prepared = this.#statements.get(query);
    if (!prepared) {
      const statement = this.#database.prepare(query);
      prepared = { statement, columns: statement.columns().map(({ name }) => name) };
      this.#statements.set(query, prepared);
    }
    return prepared;
  }

  #run(query: string): void {
    this.#prepared(query).statement.run();
  }
}

const splitQueries = new Map<string, string[]>();

/** Splits a query at semicolons. No string literal has one. */
function statementsOf(query: string): string[] {
  let statements = splitQueries.get(query);
  if (!statements) {
    statements = query
      .replaceAll(/--.*$/gm, "")
      .split(";")
      .filter((statement) => statement.trim() !== "");
    splitQueries.set(query, statements);
  }
  return statements;
}

const READ = /^\s*(select|explain|pragma)\b/i;

/** The result of `exec`: an iterator over rows. */
class Cursor {
  readonly columnNames: string[];
  readonly rowsWritten: number;
  readonly rowsRead: number;
  readonly #rows: Row[];
  #next = 0;

  constructor(columnNames: string[], rows: Row[], rowsWritten = 0) {
    this.columnNames = columnNames;
    this.rowsWritten = rowsWritten;
    this.rowsRead = rows.length;
    this.#rows = rows;
    for (const row of rows) {
      for (const name of columnNames) {
        const value: unknown = row[name];
        if (value instanceof Uint8Array) row[name] = value.slice().buffer;
      }
    }
  }

  next(): IteratorResult<Row> {
    const row = this.#rows[this.#next++];
    return row ? { done: false, value: row } : { done: true, value: undefined };
  }

  [Symbol.iterator]() {
    return this;
  }

  toArray(): Row[] {
    const rows = this.#rows.slice(this.#next);
    this.#next = this.#rows.length;
    return rows;
  }

  one(): Row {
    const rows = this.toArray();
    if (rows.length !== 1)
      throw new Error(`Expected exactly one result from SQL query, but got ${rows.length}`);
    return rows[0] as Row;
  }

  *raw() {
    for (const row of this.toArray()) yield this.columnNames.map((name) => row[name]);
  }
}

function toSqlite(value: Binding): string | number | null | Uint8Array {
  return value instanceof ArrayBuffer ? new Uint8Array(value) : value;
}
