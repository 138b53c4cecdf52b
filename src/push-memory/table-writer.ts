import { causeOf, createLog } from "../log.ts";
import type { Tables } from "./tables.ts";

/** An answer waits for a write that is under way, even if it does not rest on it: they come together, and seldom. */
const WRITTEN_BEHIND_MS = 1_000;

/** Writes the tables of a push memory, at once or behind the answer, and sets the alarm that clears them. */
export class TableWriter {
  readonly #log = createLog({ object: "push-memory" });
  readonly #storage: DurableObjectStorage;
  readonly #tables: Tables;
  readonly #clearAt: () => number;
  /** Whether an alarm is set for certain. */
  #isAlarmSet = false;
  /** Whether the tables are going to be written behind the answer. */
  #isWriteDue = false;

  /** @param clearAt when the oldest row has had its time, in ms since the epoch; Infinity where there is none */
  constructor(storage: DurableObjectStorage, tables: Tables, clearAt: () => number) {
    this.#storage = storage;
    this.#tables = tables;
    this.#clearAt = clearAt;
  }

  /** Writes what was taken down: an answer in the same turn leaves when it lies on disk. */
  async write(): Promise<void> {
    this.#tables.write();
    await this.#clearLater();
  }

  /** The same, once the answer has left. */
  writeLater(): void {
    if (this.#isWriteDue) return;
    this.#isWriteDue = true;
    setTimeout(async () => {
      this.#isWriteDue = false;
      try {
        await this.write();
      } catch (error) {
        this.#tables.discard();
        this.#log.error("push-memory-unwritten", { cause: causeOf(error) });
      }
    }, WRITTEN_BEHIND_MS);
  }

  /** The alarm has come: what is written from now on needs another. */
  alarmHasCome(): void {
    this.#isAlarmSet = false;
  }

  async #clearLater(): Promise<void> {
    if (this.#isAlarmSet) return;
    if ((await this.#storage.getAlarm()) === null) {
      const next = this.#clearAt();
      if (next === Number.POSITIVE_INFINITY) return;
      await this.#storage.setAlarm(next);
    }
    this.#isAlarmSet = true;
  }
}
