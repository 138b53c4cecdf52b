import { afterAll } from "vitest";
import { cleanUp } from "./command.ts";

// A set-up file is run for each file, a module that several files import only once. A blobstore of thousands of files is
// not gone at once.
afterAll(cleanUp, 60_000);
