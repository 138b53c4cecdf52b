import { once } from "node:events";
import { Agent, request } from "node:http";
import { cfHeaders } from "../../foundation/cf-push/cf-headers.ts";

/** One persistent connection. Each request is a separate push of cf CLI. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: URL;
  readonly #headers: Record<string, string>;

  constructor(url: URL, headers: Record<string, string> = {}) {
    this.#url = url;
    this.#headers = headers;
  }

  /**
   * Sends a request.
   *
   * @returns the number of bytes of the response body
   * @throws Error for any status but 201
   */
  async post(body: Buffer, more: Record<string, string> = {}): Promise<number> {
    const headers = { ...this.#headers, ...cfHeaders(), ...more, "Content-Length": body.byteLength };
    const sent = request(this.#url, { method: "POST", agent: this.#agent, headers });
    sent.end(body);
    const [response] = await once(sent, "response");
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
    await once(response, "end");
    if (response.statusCode !== 201) throw new Error(`status ${response.statusCode}`);
    return bytes;
  }

  close(): void {
    this.#agent.destroy();
  }
}
