/**
 * Terminals: a WebSocket whose binary frames are the terminal's bytes and whose text frames are control
 * messages.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import type { OpenShell, Shell } from '../../../../src/engines/engine.ts';
import type { Cloud } from '../cloud/cloud.ts';
import type { SessionRecord } from '../cloud/records.ts';
import { never } from '../cloud/work.ts';
import { type ApiRequest, answer, type Reply } from '../wire/reply.ts';

const startMessage = z.strictObject({
  type: z.literal('start'),
  command: z.string(),
  args: z.array(z.string()),
  env: z.array(z.string()),
  cwd: z.string().optional(),
  cols: z.number().optional(),
  rows: z.number().optional(),
});
const resizeMessage = z.strictObject({ type: z.literal('resize'), cols: z.number(), rows: z.number() });
const controlMessage = z.discriminatedUnion('type', [startMessage, resizeMessage]);

/** Issued tokens, each for one connection, and the open connections. */
export class Terminals {
  readonly #cloud: Cloud;
  readonly #baseUrl: () => string;
  readonly #tokens = new Map<string, SessionRecord>();
  readonly #server = new WebSocketServer({ noServer: true });

  constructor(cloud: Cloud, baseUrl: () => string) {
    this.#cloud = cloud;
    this.#baseUrl = baseUrl;
  }

  async open({ names: [id = ''] }: ApiRequest): Promise<Reply> {
    const session = await this.#cloud.running(id);
    const token = randomBytes(12).toString('hex');
    this.#tokens.set(token, session);
    const url = `${this.#baseUrl().replace(/^http/, 'ws')}/interactive`;
    return answer('InteractiveSessionResponse', { url, token });
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = new URL(request.url ?? '/', 'http://stand-in');
    const token = url.searchParams.get('token') ?? '';
    const session = this.#tokens.get(token);
    if (url.pathname !== '/interactive' || session === undefined) {
      socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
      return;
    }
    this.#tokens.delete(token);
    this.#server.handleUpgrade(request, socket, head, (connection) => {
      serve(this.#cloud, session, connection);
    });
  }

  /** Cuts every terminal, like a network failure. */
  close(): void {
    for (const connection of this.#server.clients) connection.terminate();
    this.#server.close();
  }
}

function serve(cloud: Cloud, session: SessionRecord, connection: WebSocket): void {
  let shell: Promise<Shell> | null = null;
  /** Frames are handled in order of arrival. */
  let last: Promise<void> = Promise.resolve();
  const take = async (data: Buffer, isBinary: boolean): Promise<void> => {
    if (isBinary) {
      await (await shell)?.write(data);
      return;
    }
    const message = controlMessage.parse(JSON.parse(data.toString()));
    if (message.type === 'resize') {
      await (await shell)?.resize(message.cols, message.rows);
    } else {
      shell = begin(cloud, session, connection, message);
      await shell;
    }
  };
  connection.on('message', (data: RawData, isBinary: boolean) => {
    const bytes = Buffer.isBuffer(data) ? data : Buffer.concat(Array.isArray(data) ? data : []);
    last = last.then(() => take(bytes, isBinary)).catch(() => connection.terminate());
  });
  connection.on('close', () => {
    last = last.then(async () => void (await (await shell)?.close())).catch(() => undefined);
  });
}

async function begin(
  cloud: Cloud,
  session: SessionRecord,
  connection: WebSocket,
  start: z.infer<typeof startMessage>,
): Promise<Shell> {
  const shell = await cloud.engine.shells?.open(requestOf(session, start), never());
  if (shell === undefined) throw new Error('the engine below opens no terminals');
  void relay(cloud, session, connection, shell);
  return shell;
}

async function relay(
  cloud: Cloud,
  session: SessionRecord,
  connection: WebSocket,
  shell: Shell,
): Promise<void> {
  for await (const chunk of shell.output) {
    await new Promise<void>((resolve) => connection.send(chunk, { binary: true }, () => resolve()));
  }
  const { exitCode } = await shell.exit;
  // A terminal whose machine is gone cannot report how it ended.
  const alive = (await cloud.current(session)).expiresAt !== null;
  if (!alive) return connection.terminate();
  connection.send(JSON.stringify({ type: 'exit', code: exitCode }));
  connection.close();
}

/** What the image's `sudo` would run: skips its own options; the environment is always kept. */
function behindSudo(args: string[]): string[] {
  if (args[0] === '--login' || args[0] === '-i') return ['/bin/bash', '--login'];
  const first = args.findIndex((arg) => !arg.startsWith('-'));
  return first === -1 ? ['/bin/bash'] : args.slice(first);
}

function requestOf(session: SessionRecord, start: z.infer<typeof startMessage>): OpenShell {
  const sudo = start.command === 'sudo';
  const command = sudo ? behindSudo(start.args) : [start.command || '/bin/bash', ...start.args];
  const env = Object.fromEntries(
    start.env.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
  return {
    sandboxId: session.below,
    command,
    env,
    cwd: start.cwd ?? session.sandbox.cwd,
    sudo,
    cols: start.cols ?? 80,
    rows: start.rows ?? 24,
  };
}
