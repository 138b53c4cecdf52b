import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

/** Creates a self-signed certificate for a host, which is its own authority. @returns the path of a PEM file with key and certificate */
export async function createCertificate(directory: string, host: string): Promise<string> {
  const path = join(directory, `${host}.pem`);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path];
  const subject = ["-subj", `/CN=${host}`, "-addext", `subjectAltName=DNS:${host}`];
  await promisify(execFile)("openssl", ["req", "-x509", "-days", "2", ...key, ...subject, "-out", path]);
  return path;
}
