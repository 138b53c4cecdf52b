import type { Command } from "commander";
import { baseUrl, type EndpointOptions, endpointOf, withEndpointOptions } from "../api/endpoint.ts";
import { examine } from "../doctor/examine.ts";
import { Exit } from "../terminal/exit.ts";
import { print } from "../terminal/output.ts";

interface DoctorOptions extends EndpointOptions {
  cloudController?: string;
}

const LEVEL_CHARACTERS = 4;
const NAME_CHARACTERS = 16;

export function registerDoctor(program: Command): void {
  const command = program
    .command("doctor")
    .summary("check a deployed Worker, and say what to do")
    .description(
      "Checks a deployed Worker from outside: token, clock, UAA's keys, whether the route leads the endpoint to the " +
        "Worker and the rest to the Cloud Controller, its limits and flags against the Cloud Controller's, and how the " +
        "cache is. Each line is `ok`, `warn` or `FAIL`, with what to do; the exit code is 3 where a line is not `ok`.\n\n" +
        "Nothing is changed. It asks the endpoint for a few files of the cache and for one that does not exist, as a push " +
        "does; and the Cloud Controller for one file of the pool, with sizes around the limits.",
    )
    .option(
      "--cloud-controller <url>",
      "an address that leads to the Cloud Controller and not to the Worker; it gets the same token. Without it, sizes " +
        "and modes are not compared",
    )
    .addHelpText(
      "after",
      "\nExample:\n" +
        "  resource-pool doctor --cloud-controller https://api.cf.internal \\\n" +
        "    --url https://api.example.com",
    );

  withEndpointOptions(command).action(async ({ cloudController, ...options }: DoctorOptions) => {
    const endpoint = endpointOf(options);
    const origin =
      cloudController === undefined
        ? undefined
        : { url: baseUrl(cloudController, "--cloud-controller"), token: endpoint.token };
    let isWell = true;
    for await (const { level, name, text } of examine(endpoint, origin)) {
      isWell &&= level === "ok";
      await print(`${level.padEnd(LEVEL_CHARACTERS)}  ${name.padEnd(NAME_CHARACTERS)}  ${oneLine(text)}`);
    }
    if (!isWell) throw new Exit("done-in-part");
  });
}

/** What a server says must not be able to steer the terminal, nor look like another line. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ").trim();
}
