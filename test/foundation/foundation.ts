import {
  type CloudController,
  type CloudControllerLimits,
  startCloudController,
} from "./cloud-controller/cloud-controller.ts";
import type { SigningAlgorithm } from "./uaa/signing-key.ts";
import { startUaa, type Uaa } from "./uaa/uaa.ts";

export interface FoundationOptions {
  /** Default: free ports. */
  ports?: { uaa?: number; cloudController?: number };
  /** The root directory of the resource pool. */
  poolDirectory: string;
  limits?: Partial<CloudControllerLimits>;
  /** How UAA signs tokens; default: RS256. */
  signing?: SigningAlgorithm;
}

/** A local foundation: a simulated UAA and Cloud Controller, with the endpoints that a push needs. */
export interface Foundation {
  uaa: Uaa;
  cloudController: CloudController;
  close(): Promise<void>;
}

/** @throws PortInUse */
export async function startFoundation({
  ports = {},
  poolDirectory,
  limits = {},
  signing = "RS256",
}: FoundationOptions): Promise<Foundation> {
  const uaa = await startUaa({ port: ports.uaa ?? 0, signing });
  try {
    const port = ports.cloudController ?? 0;
    const cloudController = await startCloudController({ uaa, poolDirectory, limits, port });
    return {
      uaa,
      cloudController,
      async close() {
        await Promise.all([uaa.close(), cloudController.close()]);
      },
    };
  } catch (error) {
    await uaa.close();
    throw error;
  }
}
