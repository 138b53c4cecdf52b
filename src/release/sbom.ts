import { execFileSync } from "node:child_process";

/** The part of SPDX 2.3 that is read or changed here. */
interface Spdx {
  documentDescribes: string[];
  packages: { SPDXID: string; packageFileName: string }[];
  relationships: { spdxElementId: string; relatedSpdxElement: string; relationshipType: string }[];
}

/** Metadata of a bundle by esbuild. Sources have paths relative to the project. */
export interface Metafile {
  outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }>;
}

/**
 * Lists the packages that a bundle contains, as SPDX. `npm sbom` would also list hundreds of tools that are only used for development.
 *
 * @param project directory of package-lock.json
 */
export function createSbom(project: string, bundle: Metafile): string {
  const options = ["sbom", "--sbom-format=spdx", "--package-lock-only"];
  const sbom: Spdx = JSON.parse(execFileSync("npm", options, { cwd: project, encoding: "utf8" }));
  const bundled = new Set(bundledFolders(bundle));
  const [root = ""] = sbom.documentDescribes;
  const packages = sbom.packages.filter(({ packageFileName }) => bundled.has(packageFileName));
  const relate = (spdxElementId: string, relationshipType: string, relatedSpdxElement: string) => ({
    spdxElementId,
    relatedSpdxElement,
    relationshipType,
  });
  return JSON.stringify(
    {
      ...sbom,
      packages: [...sbom.packages.filter(({ SPDXID }) => SPDXID === root), ...packages],
      relationships: [
        relate("SPDXRef-DOCUMENT", "DESCRIBES", root),
        ...packages.map(({ SPDXID }) => relate(root, "CONTAINS", SPDXID)),
      ],
    },
    undefined,
    2,
  );
}

/** Folders of the packages with at least one byte in the bundle. */
function bundledFolders({ outputs }: Metafile): (string | undefined)[] {
  const sources = Object.values(outputs).flatMap(({ inputs }) => Object.entries(inputs));
  return sources.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => packageFolder(path));
}

/** `node_modules/@scope/name` of `node_modules/@scope/name/dist/file.js`; undefined for a file of the project. */
function packageFolder(path: string): string | undefined {
  return /node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
}
