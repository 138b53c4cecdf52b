import { once } from "node:events";
import { Agent, request } from "node:http";

/** One connection, kept open, that does no more with an answer than to count its bytes. */
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
  async post(body: Buffer): Promise<number> {
    const headers = { ...this.#headers, "Content-Length": body.byteLength };
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
