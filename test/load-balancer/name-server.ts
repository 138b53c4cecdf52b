import { createSocket } from "node:dgram";
import { once } from "node:events";

const HEADER_BYTES = 12;
/** Records of class IN, valid for ten seconds, for the name at byte 12. The IPv6 address can't be reached. */
const ANSWERS: Record<number, string> = {
  1: "c00c00010001" + "0000000a" + "0004" + "7f000001",
  28: "c00c001c0001" + "0000000a" + "0010" + "20010db8000000000000000000000001",
};
const [NO_ERROR, NO_SUCH_NAME] = [0, 3];

/** A name server (RFC 1035). It resolves every name to 127.0.0.1 and an IPv6 address, as Cloudflare's do. */
export interface NameServer {
  port: number;
  /** Whether names exist; at first they do. */
  setAvailable(isAvailable: boolean): void;
  close(): Promise<void>;
}

export async function startNameServer(): Promise<NameServer> {
  const socket = createSocket("udp4");
  let isAvailable = true;
  socket.on("message", (query, { address, port }) => {
    let end = HEADER_BYTES;
    while (query[end]) end += (query[end] as number) + 1;
    const question = query.subarray(HEADER_BYTES, end + 5);
    const answer = (isAvailable && ANSWERS[query.readUInt16BE(end + 1)]) || "";
    const header = Buffer.alloc(HEADER_BYTES);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | (isAvailable ? NO_ERROR : NO_SUCH_NAME), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(answer ? 1 : 0, 6);
    socket.send(Buffer.concat([header, question, Buffer.from(answer, "hex")]), port, address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    setAvailable(value) {
      isAvailable = value;
    },
    async close() {
      socket.close();
      await once(socket, "close");
    },
  };
}
