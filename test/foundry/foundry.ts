import {
  type CloudController,
  type CloudControllerLimits,
  startCloudController,
} from "./cloud-controller.ts";
import { startUaa, type Uaa } from "./uaa.ts";

export interface FoundryOptions {
  /** Default: free ones. */
  ports?: { uaa?: number; cloudController?: number };
  /** The root of the resource pool. */
  poolDirectory: string;
  limits?: Partial<CloudControllerLimits>;
}

/** A foundation on this machine, as much of it as a push needs. */
export interface Foundry {
  uaa: Uaa;
  cloudController: CloudController;
  close(): Promise<void>;
}

/** @throws PortTaken */
export async function startFoundry({
  ports = {},
  poolDirectory,
  limits = {},
}: FoundryOptions): Promise<Foundry> {
  const uaa = await startUaa({ port: ports.uaa ?? 0 });
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
