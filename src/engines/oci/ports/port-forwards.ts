/** Exposed ports: a listener on the host's loopback for each, whose connections the agent takes up inside. */
import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from '../../../shared/log.ts';
import { AgentConnection } from '../protocol/agent-connection.ts';
import { encodeFields, FRAME, TAG } from '../protocol/frames.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import type { WebTerminals } from './web-terminals.ts';

const HOST = '127.0.0.1';
/** Open connections of one port; further ones wait in the kernel's queue or are refused. */
const MAX_CONNECTIONS = 1_024;

interface Forward {
  server: Server;
  url: string;
  sockets: Set<Socket>;
}

/** All forwards of this process, and beside them the listeners for terminals. */
export class PortForwards {
  readonly interactive: WebTerminals;
  readonly #forwards = new Map<string, Map<number, Forward>>();
  readonly #log: Logger;

  constructor(interactive: WebTerminals, log: Logger) {
    this.interactive = interactive;
    this.#log = log;
  }

  /** `http://127.0.0.1:…` where this process forwards the port, else null. */
  url(sandboxId: string, port: number): string | null {
    return this.#forwards.get(sandboxId)?.get(port)?.url ?? null;
  }

  /** Listens for every port that is not listened for yet. */
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

  /** Stops listening and cuts what is open. */
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
        // Nothing listens inside, or the sandbox is gone: the caller sees a reset, as from a closed port.
        this.#log.debug({ port, error }, 'a connection to an exposed port was not taken up');
        client.resetAndDestroy();
      });
    });
    server.maxConnections = MAX_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, HOST, resolve);
    });
    // A forward serves as long as there is other work; it does not keep a finished server alive.
    server.unref();
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a listener without an address');
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
