import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface AppFixture {
  path: string;
  /** Writes a file. The default content depends on the path. */
  write(path: string, content?: string | Buffer, mode?: number): Promise<void>;
  remove(): Promise<void>;
}

/** Creates an empty app directory. */
export async function createApp(): Promise<AppFixture> {
  const root = await mkdtemp(join(tmpdir(), "app-"));
  return {
    path: root,
    async write(path, content = `the content of ${path}`, mode = 0o644) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
      // Unlike the mode of writeFile, chmod ignores the umask.
      chmodSync(join(root, path), mode);
    },
    remove: () => rm(root, { recursive: true, force: true }),
  };
}

/** Creates an app with a file of each kind that a push treats differently: modes, sizes, names, links, ignored files. */
export async function createVariedApp(): Promise<AppFixture> {
  const app = await createApp();
  await app.write("server.js");
  await app.write("bin/run", "#!/bin/sh\n", 0o755);
  await app.write("bin/copy of run", "#!/bin/sh\n", 0o700);
  await app.write("read-only.txt", "read-only", 0o444);
  await app.write("empty.txt", "");
  await app.write("lib/empty.js", "");
  await app.write("größe/naïve ☃ 😀.txt");
  await app.write("with 'quotes' \"and\" $signs;.txt");
  await app.write("big.bin", Buffer.alloc(300_000, "0123456789abcde"));
  for (const size of [1, 1023, 1024, 102_400])
    await app.write(`sizes/${size}`, Buffer.alloc(size, `${size}.`));
  await app.write(".git/HEAD", "never pushed");
  await app.write("lib/.DS_Store", "never pushed");
  await app.write("manifest.yml", "never pushed");
  await mkdir(join(app.path, "nothing/in/here"), { recursive: true });
  await symlink("server.js", join(app.path, "main.js"));
  await symlink("not/there", join(app.path, "bin/dangling"));
  await symlink("lib", join(app.path, "library"));
  return app;
}
