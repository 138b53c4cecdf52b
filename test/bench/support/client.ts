import { once } from "node:events";
import { Agent, request } from "node:http";
import { cfHeaders } from "../../foundation/cf-push/cf-headers.ts";

/** One connection, kept open. Each request is a push of cf CLI of its own, and of its response only the bytes are counted. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: URL;
  readonly #headers: Record<string, string>;

  constructor(url: URL, headers: Record<string, string> = {}) {
    this.#url = url;
    this.#headers = headers;
  }

  /**
   * @returns the bytes of the answer
   * @throws for any status but 201
   */
  async post(body: Buffer, more: Record<string, string> = {}): Promise<number> {
    const headers = { ...this.#headers, ...cfHeaders(), ...more, "Content-Length": body.byteLength };
    const sent = request(this.#url, { method: "POST", agent: this.#agent, headers });
    sent.end(body);
    const [answer] = await once(sent, "response");
    let bytes = 0;
    answer.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
    await once(answer, "end");
    if (answer.statusCode !== 201) throw new Error(`status ${answer.statusCode}`);
    return bytes;
  }

  close(): void {
    this.#agent.destroy();
  }
}
