// `npm run openapi`: writes docs/openapi.json, which a test compares with what would be written.
import { writeFile } from "node:fs/promises";
import { openApiDocument } from "./document.ts";

const file = new URL("../../docs/openapi.json", import.meta.url);
await writeFile(file, `${JSON.stringify(await openApiDocument(), null, 2)}\n`);
