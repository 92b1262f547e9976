/**
 * Web terminals for people: a WebSocket listener on the host's loopback for each sandbox created with
 * `interactive`.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocketServer } from 'ws';
import { SandboxError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/log.ts';
import type { Shells } from '../../engine.ts';
import { OneTimeTokens } from './one-time-tokens.ts';
import { cells, serveTerminal, TERMINAL_PROTOCOL } from './web-terminal-socket.ts';

const HOST = '127.0.0.1';
const SHELL = ['/bin/bash'];
/** Concurrent terminals of one sandbox. */
const MAX_TERMINALS = 8;
/** The largest message: enough for a paste. */
const MAX_MESSAGE_BYTES = 1_048_576;

interface Listener {
  http: Server;
  sockets: WebSocketServer;
  port: number;
  tokens: OneTimeTokens;
}

/** All web terminal listeners of this process. */
export class WebTerminals {
  readonly #listeners = new Map<string, Listener>();
  readonly #shells: () => Shells;
  readonly #log: Logger;

  /** @param shells called when the first terminal is opened */
  constructor(shells: () => Shells, log: Logger) {
    this.#shells = shells;
    this.#log = log;
  }

  /** The port on which this process listens for the sandbox, else null. */
  port(sandboxId: string): number | null {
    return this.#listeners.get(sandboxId)?.port ?? null;
  }

  /**
   * A URL that opens one terminal, once, within ten minutes.
   *
   * @throws SandboxError `unavailable` if this process does not listen for the sandbox
   */
  url(sandboxId: string): string {
    const listener = this.#listeners.get(sandboxId);
    if (listener !== undefined) return `ws://${HOST}:${listener.port}/?token=${listener.tokens.issue()}`;
    throw new SandboxError('unavailable', `No web terminal is open for sandbox ${sandboxId}.`, {
      hint: 'Call sandbox_get, which opens its ports here. For a sandbox created without interactive use sandbox_shell.',
    });
  }

  /** @param taken port numbers to avoid: the sandbox's own */
  async open(sandboxId: string, taken: number[]): Promise<void> {
    if (this.#listeners.has(sandboxId)) return;
    // Loaded on demand: most sessions have no web terminal.
    const { WebSocketServer } = await import('ws');
    const sockets = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_MESSAGE_BYTES,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(TERMINAL_PROTOCOL) ? TERMINAL_PROTOCOL : false),
    });
    const http = createServer((_request, response) => {
      response
        .writeHead(426, { Upgrade: 'websocket' })
        .end('This is a terminal; connect with a WebSocket.\n');
    });
    const listener = { http, sockets, port: await listen(http, taken), tokens: new OneTimeTokens() };
    http.on('upgrade', (request, socket, head) => this.#join(sandboxId, listener, request, socket, head));
    this.#listeners.set(sandboxId, listener);
  }

  /** Stops listening and closes open terminals. */
  async close(sandboxId: string): Promise<void> {
    const listener = this.#listeners.get(sandboxId);
    this.#listeners.delete(sandboxId);
    if (listener === undefined) return;
    for (const socket of listener.sockets.clients) socket.terminate();
    listener.http.closeAllConnections();
    await new Promise<void>((resolve) => listener.http.close(() => resolve()));
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#listeners.keys()].map((sandboxId) => this.close(sandboxId)));
  }

  #join(sandboxId: string, listener: Listener, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // An error on this socket only ends it; nobody else handles it yet.
    socket.on('error', () => socket.destroy());
    const query = new URLSearchParams((request.url ?? '').split('?')[1] ?? '');
    const size = windowSize(query);
    // In this order, so that an invalid window size does not use up a token.
    const refusal = size === null ? BAD_SIZE : refusalOf(request, listener, query.get('token') ?? '');
    if (size === null || refusal !== null) {
      refuse(socket, refusal ?? BAD_SIZE);
      return;
    }
    listener.sockets.handleUpgrade(request, socket, head, (terminal) => {
      const shell = { sandboxId, command: SHELL, env: {}, cwd: null, sudo: false, ...size };
      serveTerminal(terminal, this.#shells(), shell).catch((error: unknown) => {
        this.#log.warn({ sandbox_id: sandboxId, err: error }, 'a web terminal failed');
        terminal.terminate();
      });
    });
  }
}

type Refusal = [status: string, message: string];

const BAD_SIZE: Refusal = ['400 Bad Request', 'cols and rows must be whole numbers from 1 to 1000'];

/** Why this request is refused; null if it is accepted, which uses up its token. */
function refusalOf(request: IncomingMessage, listener: Listener, token: string): Refusal | null {
  if (!isLocal(request, listener.port))
    return ['403 Forbidden', 'only programs and pages on this machine may connect'];
  if (listener.sockets.clients.size >= MAX_TERMINALS) {
    return ['503 Service Unavailable', `${MAX_TERMINALS} terminals are open; close one`];
  }
  if (listener.tokens.redeem(token)) return null;
  return ['401 Unauthorized', 'a token opens one terminal; call sandbox_domain for another'];
}

function windowSize(query: URLSearchParams): { cols: number; rows: number } | null {
  const cols = cells.safeParse(Number(query.get('cols') ?? 80));
  const rows = cells.safeParse(Number(query.get('rows') ?? 24));
  return cols.success && rows.success ? { cols: cols.data, rows: rows.data } : null;
}

/** Any port but those in `taken`. */
async function listen(http: Server, taken: number[]): Promise<number> {
  for (;;) {
    await new Promise<void>((resolve, reject) => {
      // For good: one that cannot be accepted, without descriptors left, must not end this process.
      http.on('error', reject);
      http.listen(0, HOST, resolve);
    });
    const address = http.address();
    if (address === null || typeof address === 'string') throw new Error('the listener has no address');
    // A listener does not keep the process alive.
    if (!taken.includes(address.port)) {
      http.unref();
      return address.port;
    }
    await new Promise<void>((resolve) => http.close(() => resolve()));
  }
}

/** False for a page of another site, also if its name resolves to this machine (DNS rebinding). */
function isLocal({ headers }: IncomingMessage, port: number): boolean {
  const hosts = [`${HOST}:${port}`, `localhost:${port}`];
  if (!hosts.includes(headers.host ?? '')) return false;
  if (headers.origin === undefined) return true;
  const origin = URL.canParse(headers.origin) ? new URL(headers.origin).hostname : '';
  return ['127.0.0.1', 'localhost', '[::1]'].includes(origin);
}

function refuse(socket: Duplex, [status, message]: Refusal): void {
  const head = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${message.length + 1}`;
  socket.end(`${head}\r\n\r\n${message}\n`);
}
