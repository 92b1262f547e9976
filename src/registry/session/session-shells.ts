import type { Sandbox, Shell } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import { newShellId } from '../../shared/ids.ts';
import type { RegistryContext } from '../context.ts';
import type { Leases } from '../sandboxes/keep-alive.ts';
import type { Quota } from '../sandboxes/quota.ts';
import type { ShellHandle, ShellInfo, ShellRequest } from '../types.ts';
import type { ShellTerminal } from './shell-terminal.ts';

/** Ended shells whose last screen can still be read. */
const MAX_ENDED = 20;

interface OpenShell extends ShellHandle {
  readonly terminal: ShellTerminal;
  readonly info: ShellInfo;
}

/** The shells that one session opened. They live in this process and end with the session. */
export class SessionShells {
  readonly #context: RegistryContext;
  readonly #quota: Quota;
  readonly #leases: Leases;
  /** Running shells in the order they were opened; ended shells in the order they ended. */
  readonly #shells = new Map<string, OpenShell>();
  #closed = false;

  constructor(context: RegistryContext, quota: Quota, leases: Leases) {
    this.#context = context;
    this.#quota = quota;
    this.#leases = leases;
  }

  /**
   * Opens a shell, counts it against the quota, and holds the sandbox's lease until it has ended.
   *
   * @throws SandboxError `limit_exceeded`, or what `open` throws
   */
  async open(sandbox: Sandbox, request: ShellRequest, open: () => Promise<Shell>): Promise<ShellHandle> {
    const giveBack = this.#quota.take();
    let shell: Shell;
    try {
      shell = await open();
    } catch (error) {
      giveBack();
      throw error;
    }
    // Loaded with the first terminal: most sessions open none.
    const { ShellTerminal } = await import('./shell-terminal.ts');
    const { sandboxId } = sandbox;
    const shellId = newShellId(sandboxId);
    const terminal = new ShellTerminal(shell, request.cols, request.rows);
    const info = { shellId, sandboxId, command: request.command, openedAt: this.#context.clock.now() };
    const handle = { shellId, sandboxId, terminal, info, ...this.#acts(shellId, terminal) };
    this.#shells.set(shellId, handle);
    const endLease = this.#leases.hold(sandbox);
    const ended = (): void => {
      endLease();
      giveBack();
      // Move it behind the shells that ended before it: the map's order is the order in which they are
      // forgotten.
      if (this.#shells.delete(shellId)) this.#shells.set(shellId, handle);
      this.#forgetOldest();
    };
    void terminal.done.then(ended, ended);
    if (this.#closed) await terminal.close();
    return handle;
  }

  /** @throws SandboxError `not_found` */
  get(shellId: string): ShellHandle {
    const shell = this.#shells.get(shellId);
    if (shell !== undefined) return shell;
    throw new SandboxError('not_found', `There is no shell ${JSON.stringify(shellId.slice(0, 80))}.`, {
      hint: 'Call session_info for the open shells of this session, or sandbox_shell to open one.',
      details: { shell_id: shellId.slice(0, 80) },
    });
  }

  /** Running shells, newest first. */
  list(): ShellInfo[] {
    return [...this.#shells.values()]
      .filter(({ terminal }) => terminal.exit === null)
      .map(({ info }) => info)
      .reverse();
  }

  /** Ends every shell and all processes they started. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#shells.values()].map(({ terminal }) => terminal.close()));
  }

  #acts(shellId: string, terminal: ShellTerminal): Pick<ShellHandle, 'end' | 'forget'> {
    return {
      end: async () => {
        await terminal.close();
      },
      forget: () => this.#forget(shellId),
    };
  }

  #forgetOldest(): void {
    const ended = [...this.#shells.values()].filter(({ terminal }) => terminal.exit !== null);
    for (const { shellId } of ended.slice(0, Math.max(0, ended.length - MAX_ENDED))) this.#forget(shellId);
  }

  #forget(shellId: string): void {
    this.#shells.get(shellId)?.terminal.dispose();
    this.#shells.delete(shellId);
  }
}
