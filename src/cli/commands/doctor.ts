import { Command } from "commander";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { examine } from "../doctor/examine.ts";
import { Exit } from "../terminal/exit.ts";
import { print } from "../terminal/output.ts";

interface DoctorOptions extends EndpointOptions {
  cloudController?: string;
}

const LEVEL_CHARACTERS = 4;
const NAME_CHARACTERS = 16;

export const doctorCommand = new Command("doctor")
  .summary("check a deployed Worker, and print what to do")
  .description(
    "Checks a deployed Worker from outside: the token, the clock, UAA's keys, whether the route leads the endpoint to " +
      "the Worker and other requests to the Cloud Controller, limits and flags against the Cloud Controller's, and " +
      "the state of the cache.\n\n" +
      "Prints a line for each check: `ok`, `warn` or `FAIL`, and what to do. The exit code is 3 if a line is not " +
      "`ok`.\n\n" +
      "Nothing is changed. It sends a request for a few files of the cache and for one that does not exist to the " +
      "endpoint, and requests for one file of the pool, with sizes around the limits, to the Cloud Controller.",
  )
  .option(
    "--cloud-controller <url>",
    "a URL that leads to the Cloud Controller and not to the Worker. It gets the same token. Without it, sizes and " +
      "modes are not compared",
  )
  .addHelpText(
    "after",
    "\nExample:\n" +
      "  resource-pool doctor --cloud-controller https://api.cf.internal \\\n" +
      "    --url https://api.example.com",
  )
  .action(async ({ cloudController, ...options }: DoctorOptions) => {
    const endpoint = endpointOf(options);
    const origin =
      cloudController === undefined
        ? undefined
        : endpointOf({ ...options, url: cloudController }, "--cloud-controller");
    let areAllOk = true;
    for await (const { level, name, text } of examine(endpoint, origin)) {
      // A server's text must not control the terminal, nor look like another line.
      const oneLine = text.replaceAll(/\p{Cc}+/gu, " ").trim();
      areAllOk &&= level === "ok";
      await print(`${level.padEnd(LEVEL_CHARACTERS)}  ${name.padEnd(NAME_CHARACTERS)}  ${oneLine}`);
    }
    if (!areAllOk) throw new Exit("incomplete");
  });
