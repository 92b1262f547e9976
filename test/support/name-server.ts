/** A name server on the loopback interface, for reserved test names. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Answer, decode, encode } from 'dns-packet';

/** Authoritative answer, recursion available; and the same for a missing name. */
const FOUND = 0x0580;
const NOT_FOUND = 0x0583;

export interface NameServer {
  /** `address:port`. */
  readonly address: string;
  close(): Promise<void>;
}

/** Resolves these names to addresses. */
export async function openNameServer(names: Readonly<Record<string, string>>): Promise<NameServer> {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => {
    const { id = 0, questions = [] } = decode(message);
    const name = questions[0]?.name ?? '';
    const data = names[name];
    const answers: Answer[] = data === undefined ? [] : [{ type: 'A', name, ttl: 1, data }];
    const flags = data === undefined ? NOT_FOUND : FOUND;
    socket.send(encode({ type: 'response', id, flags, questions, answers }), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    address: `127.0.0.1:${socket.address().port}`,
    close: () => new Promise((resolve) => socket.close(resolve)),
  };
}
