import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { StdioTransport } from '../../src/server/stdio/stdio-transport.ts';
import { createLogger } from '../../src/shared/log.ts';

/** A client that reads nothing until it is told to. */
class UnreadOutput extends Writable {
  #taken: (() => void)[] = [];

  override _write(_chunk: Buffer, _encoding: BufferEncoding, taken: () => void): void {
    this.#taken.push(taken);
  }

  read(): void {
    for (const taken of this.#taken.splice(0)) taken();
  }
}

const ping = (id: number): string => `${JSON.stringify({ jsonrpc: '2.0', id, method: 'ping' })}\n`;

describe('a transport whose client does not read', () => {
  it('stops reading once 16 MiB wait, and continues when the client has read them', async () => {
    const input = new PassThrough();
    const output = new UnreadOutput();
    const transport = new StdioTransport(input, output, createLogger('silent'));
    const received: unknown[] = [];
    transport.onmessage = (message) => received.push(Reflect.get(message, 'id'));
    await transport.start();
    const answer = (id: number, bytes: number): Promise<void> =>
      transport.send({ jsonrpc: '2.0', id, result: { padding: 'x'.repeat(bytes) } });

    input.write(ping(1));
    await expect.poll(() => received).toEqual([1]);
    const sent = [answer(1, 10_000_000)];
    expect(input.isPaused()).toBe(false);
    sent.push(answer(2, 10_000_000));
    expect(input.isPaused()).toBe(true);
    input.write(ping(3));
    await new Promise((resolve) => setImmediate(resolve));
    expect(received).toEqual([1]);

    output.read();
    await sent[0];
    output.read();
    await Promise.all(sent);
    await expect.poll(() => received).toEqual([1, 3]);
    await transport.close();
  });
});
