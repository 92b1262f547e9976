/**
 * Terminals: opened by the platform's interactive session, alive as long as this process holds their
 * connection.
 */
import { posix } from 'node:path';
import type { Session } from '@vercel/sandbox';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { newCommandId } from '../../../shared/ids.ts';
import type { OpenShell, Shell, Shells } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { killTree, MARK } from '../guest/kill-tree.ts';
import { getSandbox, inSession, notRunning } from '../sandbox/get-sandbox.ts';
import { requireDirectory } from '../sandbox/require-directory.ts';
import { connectShell, type SocketOptions } from './shell-socket.ts';
import { ShellStream } from './shell-stream.ts';

/** A terminal type that our emulators support. */
const TERM = 'xterm-256color';
const SIGHUP = 1;
const SIGKILL = 9;
const END_MS = 10_000;

export class VercelShells implements Shells {
  readonly #context: VercelContext;
  readonly #socket: SocketOptions;
  readonly #open = new Set<ShellStream>();

  constructor(context: VercelContext, socket: SocketOptions) {
    this.#context = context;
    this.#socket = socket;
  }

  async open(request: OpenShell, signal: AbortSignal): Promise<Shell> {
    const { sandboxId } = request;
    const env = this.#context.secrets.fillEnvironment(request.env);
    const doing = 'open a terminal';
    // The platform would open one in a sandbox that is about to end.
    const view = await getSandbox(this.#context, sandboxId, signal);
    if (view.status !== 'running') throw notRunning(view, doing);
    const cwd = posix.resolve(view.cwd, request.cwd ?? '');
    if (request.cwd !== null) await requireDirectory(this.#context, sandboxId, cwd, signal);
    const shell = await inSession(this.#context, sandboxId, doing, signal, (session) =>
      this.#connect(session, { ...request, env }, cwd, signal),
    );
    this.#open.add(shell);
    void shell.exit.then(() => this.#open.delete(shell));
    if (signal.aborted) await shell.close();
    throwIfCancelled(signal);
    return shell;
  }

  /** Ends every terminal of this process. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((shell) => shell.close()));
  }

  async #connect(
    session: Session,
    { sandboxId, command, env, sudo, cols, rows }: OpenShell,
    cwd: string,
    signal: AbortSignal,
  ): Promise<ShellStream> {
    const argv = sudo ? ['sudo', '-E', '--', ...command] : command;
    const [program, ...args] = argv;
    if (program === undefined)
      throw new SandboxError('invalid_argument', 'The command of the terminal is empty.');
    const address = await session.openInteractive({ signal });
    const socket = await connectShell(address, this.#socket, signal);
    // Its process tree is found by the same tag as a command's.
    const mark = newCommandId(sandboxId);
    const shell = new ShellStream(socket, () => this.#end(session, mark));
    const variables = { TERM, ...env, [MARK]: mark };
    socket.send(
      JSON.stringify({
        type: 'start',
        command: program,
        args,
        env: Object.entries(variables).map(([name, value]) => `${name}=${value}`),
        cwd,
        cols,
        rows,
      }),
    );
    return shell;
  }

  /** Hangs up, then kills the remaining processes. Never rejects. */
  async #end(session: Session, mark: string): Promise<void> {
    try {
      await killTree(session, mark, [SIGHUP, SIGKILL], AbortSignal.timeout(END_MS));
    } catch (error) {
      // In a sandbox that has ended nothing is left.
      this.#context.log.debug({ err: error }, 'cannot end a terminal');
    }
  }
}
