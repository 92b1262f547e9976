/** Terminals: opened by the agent, alive while this process holds their connection. */
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import type { OpenShell, Shell, Shells } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import { AgentConnection } from '../protocol/agent-connection.ts';
import { FRAME } from '../protocol/frames.ts';
import { startFailure } from '../protocol/start-failure.ts';
import { diagnoseDisconnect } from '../sandbox/agent-disconnect.ts';
import { reconcileRecord } from '../sandbox/reconcile.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import { encodeShell } from './exec-request.ts';
import { ShellConnection } from './shell-connection.ts';

export class OciShells implements Shells {
  readonly #context: OciContext;
  readonly #open = new Set<ShellConnection>();

  constructor(context: OciContext) {
    this.#context = context;
  }

  async open(request: OpenShell, signal: AbortSignal): Promise<Shell> {
    const sandbox = await this.#running(request.sandboxId);
    const { layout } = await this.#context.host();
    const cwd = absolutePath(request.cwd ?? '', null);
    const body = encodeShell(sandbox, request, cwd, this.#context);
    throwIfCancelled(signal);
    const shell = new ShellConnection(
      await this.#connect(layout.sandbox(request.sandboxId).agentSocket, body, signal).catch(
        async (error: unknown) => {
          throw startFailure(await diagnoseDisconnect(this.#context, request.sandboxId, error, signal), cwd);
        },
      ),
    );
    this.#open.add(shell);
    void shell.exit.then(() => this.#open.delete(shell));
    if (signal.aborted) await shell.close();
    throwIfCancelled(signal);
    return shell;
  }

  async interactiveUrl(sandboxId: string): Promise<string> {
    await this.#running(sandboxId);
    return this.#context.forwards.interactive.url(sandboxId);
  }

  /** Closes every terminal of this process. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((shell) => shell.close()));
  }

  /** The signal only cancels waiting for the agent, not a program that has started. */
  async #connect(agentSocket: string, body: Buffer, signal: AbortSignal): Promise<AgentConnection> {
    const connection = await AgentConnection.open(agentSocket, signal);
    try {
      await connection.send(FRAME.SHELL, body);
      await connection.expect(FRAME.STARTED);
      connection.unbind();
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  async #running(sandboxId: string): Promise<SandboxRecord> {
    const sandbox = await reconcileRecord(this.#context, sandboxId);
    if (sandbox.status === 'running') return sandbox;
    throw new SandboxError(
      'conflict',
      `Sandbox ${sandboxId} is ${sandbox.status}; no terminal can open in it.`,
      {
        hint: 'Call sandbox_create for a new one.',
      },
    );
  }
}
