import { afterAll } from "vitest";
import { cleanUp } from "./command.ts";

// Vitest runs a set-up file once for each test file. It takes time to delete a blobstore of thousands of files.
afterAll(cleanUp, 60_000);
