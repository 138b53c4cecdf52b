/**
 * The tables of a push memory. They are written when it is said, all that has come by then at once and in its order: most of
 * it no answer rests on, and none need wait until a disk has it. They are made with the first of it.
 */
export class Tables {
  readonly #storage: DurableObjectStorage;
  /** Statements that make them. */
  readonly #definition: string;
  #exist: boolean;
  #unwritten: { statement: string; values: SqlStorageValue[] }[] = [];

  constructor(storage: DurableObjectStorage, definition: string) {
    this.#storage = storage;
    this.#definition = definition;
    const query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_cf_*'";
    this.#exist = storage.sql.exec(query).toArray().length > 0;
  }

  /** The rows of a query, as they were written; none where there are no tables yet. */
  read<Row extends Record<string, SqlStorageValue>>(query: string): Row[] {
    return this.#exist ? this.#storage.sql.exec<Row>(query).toArray() : [];
  }

  /** Takes down what is to be written. */
  put(statement: string, ...values: SqlStorageValue[]): void {
    this.#unwritten.push({ statement, values });
  }

  /** Writes what was put, all of it or nothing. What is answered in the same turn leaves when it lies on disk. */
  write(): void {
    if (this.#unwritten.length === 0) return;
    this.#storage.transactionSync(() => {
      if (!this.#exist) this.#storage.sql.exec(this.#definition);
      for (const { statement, values } of this.#unwritten) this.#storage.sql.exec(statement, ...values);
    });
    this.#exist = true;
    this.#unwritten = [];
  }

  /** Forgets what was put and could not be written. */
  discard(): void {
    this.#unwritten = [];
  }

  /** Deletes them, and what was put. */
  async delete(): Promise<void> {
    this.#unwritten = [];
    this.#exist = false;
    await this.#storage.deleteAll();
  }
}
