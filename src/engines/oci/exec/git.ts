/**
 * `git upload-pack`, run inside the sandbox: a repository there has settings and hooks that the host's git must
 * not follow.
 */
import { onAbort } from '../../../shared/async/on-abort.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import { gitFailure } from '../../../shared/git/git-failure.ts';
import type { GitRepositories, UploadPack } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import { AgentConnection, AgentError } from '../protocol/agent-connection.ts';
import { FRAME } from '../protocol/frames.ts';
import { startFailure } from '../protocol/start-failure.ts';
import { diagnoseDisconnect } from '../sandbox/agent-disconnect.ts';
import { reconcileRecord } from '../sandbox/reconcile.ts';
import { requireStatus } from '../sandbox/require-status.ts';
import { encodePiped, PIPED_CWD } from './exec-request.ts';
import { ShellConnection } from './shell-connection.ts';

const UNREACHABLE = 'nothing can be fetched from it';
/** The sandbox's user need not own the repository. Its own git has nothing to protect from it. */
const UPLOAD_PACK = ['git', '-c', 'safe.directory=*', 'upload-pack', '--stateless-rpc'];

export class OciGit implements GitRepositories {
  readonly #context: OciContext;
  readonly #open = new Set<ShellConnection>();

  constructor(context: OciContext) {
    this.#context = context;
  }

  async *uploadPack({ sandboxId, path, request, protocol }: UploadPack, signal: AbortSignal) {
    const sandbox = await reconcileRecord(this.#context, sandboxId);
    requireStatus(sandbox, 'running', UNREACHABLE);
    const repository = absolutePath(path, null, sandbox.workspace?.path);
    const body = encodePiped(
      sandbox,
      {
        command: [...UPLOAD_PACK, ...(request === null ? ['--advertise-refs'] : []), repository],
        env: protocol === null ? {} : { GIT_PROTOCOL: protocol },
        stdin: request ?? '',
      },
      this.#context,
    );
    const program = await this.#start(sandboxId, body, signal);
    const release = onAbort(signal, () => void program.close());
    try {
      let isEmpty = true;
      for await (const chunk of program.output) {
        isEmpty = false;
        yield chunk;
      }
      throwIfCancelled(signal);
      const { exitCode } = await program.exit;
      // Once it has written something, git's own protocol tells its client about a failure.
      if (!isEmpty || exitCode === 0) return;
      // The end of the sandbox kills git, too.
      requireStatus(await reconcileRecord(this.#context, sandboxId), 'running', UNREACHABLE);
      throw gitFailure(exitCode, repository);
    } finally {
      release();
      await program.close();
    }
  }

  /** Ends every fetch of this process. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((program) => program.close()));
  }

  async #start(sandboxId: string, body: Buffer, signal: AbortSignal): Promise<ShellConnection> {
    const { layout } = await this.#context.host();
    const connection = await AgentConnection.open(layout.sandbox(sandboxId).agentSocket, signal);
    try {
      await connection.send(FRAME.SHELL, body);
      await connection.expect(FRAME.STARTED);
      connection.unbind();
    } catch (error) {
      connection.close();
      if (error instanceof AgentError && error.errno === 'EPROTO') throw earlierAgent();
      throw startFailure(await diagnoseDisconnect(this.#context, sandboxId, error, signal), PIPED_CWD);
    }
    const program = new ShellConnection(connection);
    this.#open.add(program);
    void program.exit.then(() => this.#open.delete(program));
    return program;
  }
}

function earlierAgent(): SandboxError {
  return new SandboxError('unsupported', 'This sandbox was made by an earlier version of sandbox-mcp.', {
    hint: 'Create a new sandbox.',
  });
}
