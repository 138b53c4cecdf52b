/** The minimum that the Cloud Controller requires: the owner can read and write the file. */
export const READABLE_AND_WRITABLE = 0o600;

/** The bits of a mode that have the file type, and their values. */
export const FILE_TYPE = 0o170000;
export const REGULAR_FILE = 0o100000;
export const DIRECTORY = 0o040000;
export const SYMLINK = 0o120000;

export const PERMISSIONS = 0o777;
/** Permissions, setuid, setgid and sticky. */
export const MODE_BITS = 0o7777;
