/** Exposed ports: a listener on the host's loopback for each, whose connections the agent forwards inside. */
import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from '../../../shared/log.ts';
import { AgentConnection } from '../protocol/agent-connection.ts';
import { encodeFields, FRAME, TAG } from '../protocol/frames.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import type { WebTerminals } from './web-terminals.ts';

const HOST = '127.0.0.1';
/** Open connections per port; further ones wait in the kernel's queue or are refused. */
const MAX_CONNECTIONS = 1_024;

interface Forward {
  server: Server;
  url: string;
  sockets: Set<Socket>;
}

/** All port forwards of this process, and its web terminals. */
export class PortForwards {
  readonly interactive: WebTerminals;
  readonly #forwards = new Map<string, Map<number, Forward>>();
  readonly #log: Logger;

  constructor(interactive: WebTerminals, log: Logger) {
    this.interactive = interactive;
    this.#log = log;
  }

  /** `http://127.0.0.1:…` if this process forwards the port, else null. */
  url(sandboxId: string, port: number): string | null {
    return this.#forwards.get(sandboxId)?.get(port)?.url ?? null;
  }

  /** Listens on every port that has no listener yet. */
  async open(
    agentSocket: string,
    { sandboxId, ports, interactive }: Pick<SandboxRecord, 'sandboxId' | 'ports' | 'interactive'>,
  ): Promise<void> {
    const known = this.#forwards.get(sandboxId) ?? new Map<number, Forward>();
    this.#forwards.set(sandboxId, known);
    for (const port of ports) {
      if (!known.has(port)) known.set(port, await this.#listen(agentSocket, port));
    }
    if (interactive) await this.interactive.open(sandboxId, ports);
  }

  /** Stops listening and closes open connections. */
  async close(sandboxId: string): Promise<void> {
    const known = this.#forwards.get(sandboxId);
    this.#forwards.delete(sandboxId);
    const forwards = known === undefined ? [] : [...known.values()];
    await Promise.all([...forwards.map(closeForward), this.interactive.close(sandboxId)]);
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#forwards.keys()].map((sandboxId) => this.close(sandboxId)));
  }

  async #listen(agentSocket: string, port: number): Promise<Forward> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
      sockets.add(client);
      client.once('close', () => sockets.delete(client));
      client.on('error', () => client.destroy());
      this.#relay(client, agentSocket, port).catch((error: unknown) => {
        // Nothing listens inside, or the sandbox has ended: the client sees a reset, as from a closed port.
        this.#log.debug({ port, error }, 'cannot forward a connection to an exposed port');
        client.resetAndDestroy();
      });
    });
    server.maxConnections = MAX_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      // For good: one that cannot be accepted, without descriptors left, must not end this process.
      server.on('error', reject);
      server.listen(0, HOST, resolve);
    });
    // A forward does not keep the process alive.
    server.unref();
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the listener has no address');
    return { server, url: `http://${HOST}:${address.port}`, sockets };
  }

  async #relay(client: Socket, agentSocket: string, port: number): Promise<void> {
    const connection = await AgentConnection.open(agentSocket, null);
    try {
      await connection.request(FRAME.CONNECT, encodeFields([[TAG.port, port]]));
    } catch (error) {
      connection.close();
      throw error;
    }
    const { socket: inside, rest } = connection.detach();
    if (client.destroyed) {
      inside.destroy();
      return;
    }
    if (rest.length > 0) client.write(rest);
    inside.once('close', () => client.destroy());
    client.once('close', () => inside.destroy());
    client.pipe(inside);
    inside.pipe(client);
  }
}

async function closeForward(forward: Forward): Promise<void> {
  for (const socket of forward.sockets) socket.destroy();
  await new Promise<void>((resolve) => forward.server.close(() => resolve()));
}
