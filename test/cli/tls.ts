import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";
import { afterTests, temporaryDirectory } from "./command.ts";

/** A private certificate authority. */
export interface Authority {
  /** Path of its certificate. */
  path: string;
  /** Creates a certificate. */
  issue(options: { names: string; days?: number }): Promise<Certificate>;
  /** Creates an authority whose certificate is from this one. */
  delegate(): Promise<Authority>;
}

export interface Certificate {
  key: Buffer;
  cert: Buffer;
  /** Path of `cert`. */
  path: string;
  /** Path of the key. */
  keyPath: string;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"];

export async function createAuthority(): Promise<Authority> {
  const directory = await temporaryDirectory();
  const file = (name: string) => join(directory, name);
  openssl(
    "req",
    "-x509",
    ...NEW_KEY,
    file("key"),
    "-subj",
    "/CN=Company CA",
    "-days",
    "2",
    "-out",
    file("cert"),
  );
  return authorityOf(file("cert"), file("key"));
}

function authorityOf(path: string, keyPath: string): Authority {
  const issue = async (subject: string, extension: string, days: number) => {
    const directory = await temporaryDirectory();
    const file = (name: string) => join(directory, name);
    writeFileSync(file("extension"), extension);
    openssl("req", ...NEW_KEY, file("key"), "-subj", `/CN=${subject}`, "-out", file("request"));
    const issuer = ["-CA", path, "-CAkey", keyPath, "-CAcreateserial", "-days", String(days)];
    openssl(
      "x509",
      "-req",
      "-in",
      file("request"),
      ...issuer,
      "-extfile",
      file("extension"),
      "-out",
      file("cert"),
    );
    return { certPath: file("cert"), keyPath: file("key") };
  };
  return {
    path,
    async issue({ names, days = 2 }) {
      const files = await issue("server", `subjectAltName=${names}`, days);
      const { keyPath, certPath: path } = files;
      return { key: readFileSync(keyPath), cert: readFileSync(path), path, keyPath };
    },
    async delegate() {
      const files = await issue("Intermediate CA", "basicConstraints=critical,CA:TRUE", 2);
      return authorityOf(files.certPath, files.keyPath);
    },
  };
}

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { stdio: "pipe" });
}

/** Starts a server that decrypts TLS for the server at `url`. @returns its port */
export async function startTls({ key, cert }: Certificate, url: string): Promise<number> {
  const server = createServer({ key, cert }, (socket) => {
    const plain = connect(Number(new URL(url).port), "127.0.0.1");
    socket.on("error", () => plain.destroy()).pipe(plain);
    plain.on("error", () => socket.destroy()).pipe(socket);
  });
  // The client may refuse the certificate.
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterTests(() => server.close());
  return (server.address() as AddressInfo).port;
}
