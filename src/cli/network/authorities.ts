import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import tls from "node:tls";
import { Exit, reasonOf } from "../terminal/exit.ts";
import { resolveUserPath } from "../user-path.ts";

const CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----.*?-----END (?:TRUSTED )?CERTIFICATE-----/gs;
/** First byte of a file in the DER format. */
const DER = 0x30;

let ownAuthorities: readonly string[] = [];
let areTrusted = false;

/**
 * Reads certificate authorities to trust in addition, for all requests that follow.
 *
 * @param path of a PEM file
 * @throws Exit if the file has no certificates
 */
export function readAuthorities(path: string): void {
  // An unset variable in a script must not mean the current directory.
  if (path === "") throw new Exit("usage", "--ca-file is empty. It must be the path of a PEM file.");
  let content: Buffer;
  try {
    content = readFileSync(resolveUserPath(path));
  } catch (error) {
    throw new Exit("usage", `Can't read the --ca-file ${path}: ${reasonOf(error)}`);
  }
  const certificates = content.toString().match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Exit("usage", withoutCertificate(path, content));
  for (const [index, certificate] of certificates.entries()) {
    try {
      new X509Certificate(certificate);
    } catch (error) {
      throw new Exit(
        "usage",
        `Certificate ${index + 1} of the --ca-file ${path} is damaged: ${reasonOf(error)}`,
      );
    }
  }
  ownAuthorities = certificates;
}

function withoutCertificate(path: string, content: Buffer): string {
  const found = `The --ca-file ${path}`;
  if (content[0] === DER) {
    return `${found} has the DER format. Convert it to PEM: openssl x509 -inform der -in ${path} -out ca.pem`;
  }
  const text = content.toString();
  if (/-----BEGIN PKCS7-----/.test(text)) {
    return `${found} has the PKCS #7 format. Convert it to PEM: openssl pkcs7 -print_certs -in ${path} -out ca.pem`;
  }
  if (/-----BEGIN .*PRIVATE KEY-----/.test(text)) {
    return `${found} has a private key, and no certificate. Use the file with the authority's certificate.`;
  }
  return `${found} has no certificate in the PEM format, which begins with -----BEGIN CERTIFICATE-----.`;
}

/** Makes TLS trust the operating system's authorities and those of `readAuthorities`, in addition to Node.js' own. */
export function trustAuthorities(): void {
  if (areTrusted) return;
  areTrusted = true;
  tls.setDefaultCACertificates([
    ...tls.getCACertificates("default"),
    ...tls.getCACertificates("system"),
    ...ownAuthorities,
  ]);
}
