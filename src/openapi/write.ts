// Run by `npm run openapi`: writes docs/openapi.json. A test checks that the committed file is up to date.
import { writeFile } from "node:fs/promises";
import { openApiDocument } from "./document.ts";

const file = new URL("../../docs/openapi.json", import.meta.url);
await writeFile(file, `${JSON.stringify(openApiDocument(), null, 2)}\n`);
