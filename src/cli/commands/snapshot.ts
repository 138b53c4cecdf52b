import type { Command } from "commander";
import { Exit } from "../exit.ts";
import { finishOnInterrupt } from "../interrupt.ts";
import { counted, note, print, printJson } from "../output.ts";
import { build, complaintOf } from "../pool/build.ts";
import { type PoolOptions, withPool, withPoolOptions } from "../pool/open-pool.ts";

export function registerSnapshot(program: Command): void {
  const command = program
    .command("snapshot")
    .summary("build the snapshot of the cache now")
    .description(
      "Packs everything that the cache holds into the snapshot that the Worker keeps in memory, as its trigger does\n" +
        "from time to time. What was removed since the last one is left out. The snapshot in use stays as it is until\n" +
        "the new one is there.",
    )
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  resource-pool snapshot --remote");

  withPoolOptions(command).action(async (options: PoolOptions & { json?: boolean }) => {
    const signal = finishOnInterrupt();
    await withPool(options, signal, async (pool) => {
      const built = await build(pool, Number.POSITIVE_INFINITY);
      if (options.json) await printJson(built);
      else await print(`${built.outcome}: the snapshot holds ${counted(built.entries, "resource")}`);
      const complaint = complaintOf(built);
      if (complaint) note(complaint);
      if (complaint) throw new Exit("done-in-part");
    });
  });
}
