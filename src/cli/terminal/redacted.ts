/** An address as it may be shown: without the user and the password in it, and without what may be signed. */
export function redacted(address: string): string {
  return address.replace(/^(\w+:\/\/)?.*@/s, "$1***@").replace(/\?.*$/s, "?***");
}
