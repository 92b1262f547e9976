/**
 * `git upload-pack`, run inside the sandbox: a repository there has settings and hooks that the host's git must
 * not follow.
 */
import { onAbort } from '../../../shared/async/on-abort.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { absolutePath, SANDBOX_CWD } from '../../../shared/fs/sandbox-path.ts';
import type { GitRepositories, UploadPack } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import { AgentConnection, AgentError } from '../protocol/agent-connection.ts';
import { FRAME } from '../protocol/frames.ts';
import { startFailure } from '../protocol/start-failure.ts';
import { diagnoseDisconnect } from '../sandbox/agent-disconnect.ts';
import { reconcileRecord } from '../sandbox/reconcile.ts';
import { requireStatus } from '../sandbox/require-status.ts';
import { encodePiped } from './exec-request.ts';
import { ShellConnection } from './shell-connection.ts';

/** What the agent's program search exits with if there is no such program. */
const NOT_FOUND = 127;
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
    requireStatus(sandbox, 'running', 'nothing can be fetched from it');
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
      if (isEmpty && exitCode !== 0) throw exitCode === NOT_FOUND ? withoutGit() : noRepository(repository);
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
      throw startFailure(await diagnoseDisconnect(this.#context, sandboxId, error, signal), SANDBOX_CWD);
    }
    const program = new ShellConnection(connection);
    this.#open.add(program);
    void program.exit.then(() => this.#open.delete(program));
    return program;
  }
}

function withoutGit(): SandboxError {
  return new SandboxError('unsupported', 'There is no git in the sandbox.', {
    hint: 'Install git in the sandbox, or create one with a runtime that has it.',
  });
}

function noRepository(path: string): SandboxError {
  return new SandboxError(
    'not_found',
    `There is no git repository at ${JSON.stringify(path)} in the sandbox.`,
    {
      hint: 'Run git init and commit in the sandbox, or append the path of the repository to the URL.',
      details: { path },
    },
  );
}

function earlierAgent(): SandboxError {
  return new SandboxError('unsupported', 'This sandbox was made by an earlier version of sandbox-mcp.', {
    hint: 'Create a new sandbox.',
  });
}
