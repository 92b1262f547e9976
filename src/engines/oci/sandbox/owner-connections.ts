/**
 * The connections by which this process owns sandboxes: the agent ends a sandbox when the last owner's
 * connection is gone.
 */
import type { Socket } from 'node:net';
import { AgentConnection, AgentDisconnectedError } from '../protocol/agent-connection.ts';
import { FRAME } from '../protocol/frames.ts';

const ANSWER_MS = 10_000;
/** Any byte releases the sandbox from its owners. */
const RELEASE = Buffer.from([1]);

/**
 * At most one connection for each sandbox. The kernel closes all of them when this process dies, however that
 * happens. None of them keeps the process alive.
 */
export class OwnerConnections {
  readonly #sockets = new Map<string, Socket>();

  /** Takes over a connection; it is dropped when the sandbox ends. */
  add(sandboxId: string, socket: Socket): void {
    this.#sockets.get(sandboxId)?.destroy();
    this.#sockets.set(sandboxId, socket);
    // Its end shows in `close`.
    socket.on('error', () => {});
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      if (this.#sockets.get(sandboxId) === socket) this.#sockets.delete(sandboxId);
    });
    socket.unref();
    // The agent sends nothing; reading notices that it has ended.
    socket.resume();
  }

  /**
   * Makes this process an owner of a sandbox that another one created. Does nothing if the sandbox has no
   * owners: it is kept, was started by an agent of an earlier version, or has ended.
   *
   * @param path the agent's socket for owners
   */
  async connect(sandboxId: string, path: string): Promise<void> {
    if (this.#sockets.has(sandboxId)) return;
    try {
      const connection = await AgentConnection.open(path, AbortSignal.timeout(ANSWER_MS));
      try {
        await connection.expect(FRAME.OK);
      } catch (error) {
        connection.close();
        throw error;
      }
      this.add(sandboxId, connection.detach().socket);
    } catch (error) {
      if (!(error instanceof AgentDisconnectedError)) throw error;
    }
  }

  /** Lets the sandbox live to its deadline, even without owners. */
  async release(sandboxId: string): Promise<void> {
    const socket = this.#sockets.get(sandboxId);
    if (socket === undefined) return;
    // What was written arrives before the end of the connection. A failure means that the sandbox has ended.
    await new Promise<void>((resolve) => socket.write(RELEASE, () => resolve()));
    socket.destroy();
  }

  /** Gives up ownership. The sandbox ends at once unless another process owns it too. */
  close(sandboxId: string): void {
    this.#sockets.get(sandboxId)?.destroy();
  }

  closeAll(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }
}
