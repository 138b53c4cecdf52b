import { Command } from "commander";
import { type EndpointOptions, endpointOf } from "../api/endpoint.ts";
import { examine } from "../doctor/examine.ts";
import { Exit } from "../terminal/exit.ts";
import { printText } from "../terminal/output.ts";

interface DoctorOptions extends EndpointOptions {
  api?: string;
  cloudController?: string;
  maxPackageSize: string;
}

/** The default of capi-release. */
const MAX_PACKAGE_SIZE = "1073741824";

const LEVEL_CHARACTERS = 4;
const NAME_CHARACTERS = 16;

export const doctorCommand = new Command("doctor")
  .summary("check a deployed Worker, and print what to do")
  .description(
    "Checks a deployed Worker from outside. Prints a line for each check: `ok`, `warn` or `FAIL`, what was found, and what " +
      "to do. The exit code is 3 if a line is not `ok`. The cache is not changed. All servers get the token.",
  )
  .option("--api <url>", "the URL that cf uses, if it is not the Worker's")
  .option("--cloud-controller <url>", "leads to the Cloud Controller. Default: --api")
  .option("--max-package-size <bytes>", "cc.packages.max_package_size", MAX_PACKAGE_SIZE)
  .addHelpText(
    "after",
    "\nExample:\n  resource-pool doctor --url https://matches.example.net \\\n    --api https://api.example.com",
  )
  .action(async ({ api: apiUrl, cloudController, maxPackageSize, ...options }: DoctorOptions) => {
    if (!/^[1-9]\d{0,14}$/.test(maxPackageSize)) {
      throw new Exit(
        "usage",
        `--max-package-size must be a number of bytes, at least 1, not ${maxPackageSize}`,
      );
    }
    const worker = endpointOf(options);
    const other = (url: string | undefined, option: string) =>
      url === undefined ? undefined : endpointOf({ ...options, url }, option);
    const api = other(apiUrl, "--api");
    const examined = {
      worker,
      api: api === undefined || api.url === worker.url ? worker : api,
      cloudController: other(cloudController, "--cloud-controller"),
      maxPackageSize: Number(maxPackageSize),
    };
    let areAllOk = true;
    for await (const { level, name, text } of examine(examined)) {
      // A server's text must not control the terminal, nor look like another line.
      const oneLine = text.replaceAll(/\p{Cc}+/gu, " ").trim();
      areAllOk &&= level === "ok";
      const start = `${level.padEnd(LEVEL_CHARACTERS)}  ${name.padEnd(NAME_CHARACTERS)}  `;
      await printText(start + oneLine, start.length);
    }
    if (!areAllOk) throw new Exit("incomplete");
  });
