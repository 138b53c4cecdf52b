import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { acceptsConnections, freePort } from "../foundation/loopback.ts";
import { PROJECT_ROOT } from "../support/node/project-root.ts";

export type BalancerName = "nginx" | "HAProxy";

/** The names of the examples. The Worker's name is resolved by the name server of the test. */
export const WORKER_HOST = "resource-matches.example.com";
const API_HOST = "api.sys.example.com";
/** The names by which requests of the tests reach the balancer. */
const LOCAL_HOST = "127.0.0.1";
const START_TIMEOUT_MS = 10_000;
const POLL_MS = 20;

export interface BalancerOptions {
  program: string;
  /** Default: a free port. */
  port?: number;
  /** Of the Cloud Controller, which is reached without gorouter. */
  cloudControllerPort: number;
  /** Of the Worker's TLS. */
  workerPort: number;
  nameServerPort: number;
  /** A PEM file with key and certificate. The tests connect without TLS. */
  apiCertificate: string;
  /** A PEM file with the authorities of the Worker's certificate. */
  authorities: string;
}

/** A load balancer that runs docs/examples with other addresses, files and shorter times. */
export interface Balancer {
  /** `http://127.0.0.1:<port>` */
  url: string;
  stop(): Promise<void>;
}

/** What is replaced in an example. */
type Replacements = [from: string, to: string][];

export async function startNginx(options: BalancerOptions): Promise<Balancer> {
  const { cloudControllerPort, workerPort, nameServerPort, apiCertificate } = options;
  const port = options.port ?? (await freePort());
  const directory = await mkdtemp(join(tmpdir(), "nginx-"));
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  const configuration = await writeExample("nginx.conf", directory, [
    ["http {", `http {\n  access_log off;\n  ${paths.join("\n  ")}`],
    ["worker_processes auto;", `worker_processes 1;\npid ${directory}/pid;\nuser ${userInfo().username};`],
    ["resolver 10.0.0.2 valid=60s", `resolver ${LOCAL_HOST}:${nameServerPort} valid=1s`],
    ["server 10.0.1.10:80;", `server ${LOCAL_HOST}:${cloudControllerPort};`],
    ["    server 10.0.1.11:80;\n", ""],
    ["listen 443 ssl default_server;", `listen ${LOCAL_HOST}:${await freePort()} ssl default_server;`],
    ["listen 443 ssl;", `listen ${LOCAL_HOST}:${port};\n    listen ${LOCAL_HOST}:${await freePort()} ssl;`],
    [`server_name ${API_HOST};`, `server_name ${LOCAL_HOST};`],
    [`/etc/nginx/${API_HOST}.pem`, apiCertificate],
    [`/etc/nginx/${API_HOST}.key`, apiCertificate],
    ["proxy_read_timeout 30s;", "proxy_read_timeout 3s;"],
    ["https://$worker;", `https://$worker:${workerPort};`],
    ["/etc/ssl/certs/ca-certificates.crt", options.authorities],
  ]);
  const args = ["-p", directory, "-c", configuration, "-e", "stderr", "-g", "daemon off;"];
  return startBalancer(spawn(options.program, args), port, directory);
}

export async function startHaproxy(options: BalancerOptions): Promise<Balancer> {
  const { cloudControllerPort, workerPort, nameServerPort, apiCertificate } = options;
  const port = options.port ?? (await freePort());
  const directory = await mkdtemp(join(tmpdir(), "haproxy-"));
  const configuration = await writeExample("haproxy.cfg", directory, [
    [
      "defaults\n",
      `resolvers default\n  nameserver test ${LOCAL_HOST}:${nameServerPort}\n  hold valid 1s\n\ndefaults\n`,
    ],
    ["router1 10.0.1.10:80 check", `router1 ${LOCAL_HOST}:${cloudControllerPort}`],
    ["  server router2 10.0.1.11:80 check\n", ""],
    [
      `bind :443 ssl crt /etc/haproxy/${API_HOST}.pem`,
      `bind ${LOCAL_HOST}:${port}\n  bind ${LOCAL_HOST}:${await freePort()} ssl crt ${apiCertificate}`,
    ],
    [`-i ${API_HOST}`, `-i ${LOCAL_HOST}`],
    [
      "timeout server 900s\n  http-request set-header Host",
      "timeout server 3s\n  http-request set-header Host",
    ],
    ["inter 5s fall 1 rise 12", "inter 1s fastinter 200ms downinter 200ms fall 1 rise 2"],
    ["/etc/ssl/certs/ca-certificates.crt", options.authorities],
    [`server worker ${WORKER_HOST}:443`, `server worker ${WORKER_HOST}:${workerPort}`],
  ]);
  return startBalancer(spawn(options.program, ["-db", "-f", configuration]), port, directory);
}

/** @returns its path */
async function writeExample(name: string, directory: string, replacements: Replacements): Promise<string> {
  let example = await readFile(join(PROJECT_ROOT, "docs/examples", name), "utf8");
  for (const [from, to] of replacements) {
    if (!example.includes(from)) throw new Error(`docs/examples/${name} lacks "${from}"`);
    example = example.replace(from, () => to);
  }
  const path = join(directory, name);
  await writeFile(path, example);
  return path;
}

async function startBalancer(child: ChildProcess, port: number, directory: string): Promise<Balancer> {
  const ended = once(child, "close");
  const output = child.stderr ? text(child.stderr) : Promise.resolve("");
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await acceptsConnections(port, LOCAL_HOST))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`the load balancer did not start: ${await output}`);
    }
    await pause(POLL_MS);
  }
  return { url: `http://${LOCAL_HOST}:${port}`, stop };
}
