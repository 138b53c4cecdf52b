import { type Agent, type AgentOptions, Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { SecureContextOptions } from "node:tls";
import { trustAuthorities } from "./authorities.ts";
import { proxyFor } from "./proxy.ts";

/** An unused connection is closed after this time: firewalls drop it without notice. */
const IDLE_MS = 10_000;

const agents = new Map<string, Agent>();

/** The agent that connects to a URL: directly or through its proxy, and with the authorities to trust. */
export function agentFor(url: URL): Agent {
  const isTls = url.protocol === "https:";
  const proxy = proxyFor(url)?.url.href;
  const key = `${url.protocol} ${proxy}`;
  let agent = agents.get(key);
  if (agent === undefined) {
    // Loading the authorities takes 40 to 90 ms.
    if (isTls || proxy?.startsWith("https:")) trustAuthorities();
    const options: AgentOptions & SecureContextOptions = {
      keepAlive: true,
      timeout: IDLE_MS,
      // A company may hand out the certificate of an intermediate authority, without its root's.
      allowPartialTrustChain: true,
      ...(proxy && { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } }),
    };
    agent = new (isTls ? HttpsAgent : HttpAgent)(options);
    agents.set(key, agent);
  }
  return agent;
}
