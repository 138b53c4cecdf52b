import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { catalog, observe, readPointer, runAlarm } from "../support/catalog.ts";
import { ask, askWith, matchedPaths, resource } from "../support/worker.ts";

it("works", async () => {
  const key = (i: number) => `${resource(i).checksum.value}:${i + 1}` as const;
  console.log(await observe({ held: Array.from({ length: 5000 }, (_, i) => key(i)) }));
  const t = performance.now();
  await runAlarm();
  console.log(performance.now() - t, await readPointer(), await catalog().status());
  const list = await env.RESOURCE_CACHE.list();
  console.log(
    list.keys.length,
    list.keys.slice(-4).map((k) => k.name),
  );
  expect(await matchedPaths(await ask({ resources: [resource(1), resource(6000)] }))).toEqual(["src/1.js"]);
  console.log(
    await runInDurableObject(catalog(), async (_i, state) => [
      state.id.name,
      await state.storage.getAlarm(),
      Date.now(),
    ]),
  );
  await observe({ removed: [resource(1).checksum.value] });
  await runInDurableObject(catalog(), (_, state) =>
    state.storage.sql.exec("UPDATE memory SET value='0' WHERE name='notBefore'"),
  );
  await runAlarm();
  console.log(await readPointer());
  expect(await matchedPaths(await askWith({}, { resources: [resource(1), resource(2)] }))).toEqual([
    "src/2.js",
  ]);
});
