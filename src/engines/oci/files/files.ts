/**
 * Files of a sandbox. The agent opens them as the sandbox's user; their paths are never resolved on the host.
 */
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import { partialWriteError } from '../../../shared/partial-write-error.ts';
import type { FileExplorer, FileStat, Files, OnSkipped, TreeEntry, WriteFile } from '../../engine.ts';
import type { OnLeftOut, SurveyedEntry } from '../../workspace/uploads/guest-access.ts';
import type { OciContext } from '../context.ts';
import { AgentConnection, AgentDisconnectedError, AgentError } from '../protocol/agent-connection.ts';
import { fromAgentError } from '../protocol/agent-errors.ts';
import { encodeFields, Fields, FRAME, KEEP_MODE, MAX_DATA, TAG } from '../protocol/frames.ts';
import { diagnoseDisconnect } from '../sandbox/agent-disconnect.ts';
import { reconcileRecord } from '../sandbox/reconcile.ts';
import { type AllowedStatus, requireStatus } from '../sandbox/require-status.ts';
import { OciExplorer } from './explorer.ts';
import { receiveSurvey } from './survey.ts';
import { receiveTree, sendTree } from './tree-transfer.ts';

const PERMISSION_BITS = 0o7777;
/**
 * The agent answers an upload at its end, once all of it is in place. The calls that wait for it have their
 * own limits.
 */
const WRITE_TREE_MS = 600_000;

function parseStat(path: string, body: Buffer): FileStat & { kind: string } {
  const fields = new Fields(body);
  const kind = fields.text(TAG.kind);
  return {
    path,
    kind,
    type: kind === 'd' ? 'directory' : 'file',
    sizeBytes: fields.number(TAG.size),
    mode: fields.number(TAG.statMode) & PERMISSION_BITS,
  };
}

function isMissing(error: unknown): boolean {
  return error instanceof AgentError && (error.errno === 'ENOENT' || error.errno === 'ENOTDIR');
}

export class OciFiles implements Files {
  readonly #context: OciContext;
  readonly #allowedStatus: AllowedStatus;

  /** @param allowedStatus the status a sandbox must have for its files to be accessible */
  constructor(context: OciContext, allowedStatus: AllowedStatus = 'running') {
    this.#context = context;
    this.#allowedStatus = allowedStatus;
  }

  async mkDir(
    sandboxId: string,
    path: string,
    cwd: string | null,
    signal: AbortSignal,
  ): Promise<{ path: string }> {
    const absolute = absolutePath(path, cwd);
    return this.#with(sandboxId, absolute, signal, async (connection) => {
      await connection.request(FRAME.MKDIR, encodeFields([[TAG.path, absolute]]));
      return { path: absolute };
    });
  }

  async stat(
    sandboxId: string,
    path: string,
    cwd: string | null,
    signal: AbortSignal,
  ): Promise<FileStat | null> {
    const absolute = absolutePath(path, cwd);
    return this.#with(sandboxId, absolute, signal, async (connection) => {
      try {
        await connection.send(FRAME.STAT_REQUEST, encodeFields([[TAG.path, absolute]]));
        const { kind: _kind, ...stat } = parseStat(absolute, (await connection.expect(FRAME.STAT)).body);
        return stat;
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    });
  }

  async read(
    sandboxId: string,
    path: string,
    cwd: string | null,
    range: { offset: number; limit: number },
    signal: AbortSignal,
  ): Promise<{ path: string; sizeBytes: number; data: Buffer } | null> {
    const absolute = absolutePath(path, cwd);
    return this.#with(sandboxId, absolute, signal, async (connection) => {
      try {
        await connection.send(
          FRAME.READ,
          encodeFields([
            [TAG.path, absolute],
            [TAG.offset, range.offset],
            [TAG.limit, range.limit],
          ]),
        );
        const { sizeBytes } = parseStat(absolute, (await connection.expect(FRAME.STAT)).body);
        const data = await receiveData(connection, range.limit);
        return { path: absolute, sizeBytes, data };
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    });
  }

  async write(
    sandboxId: string,
    files: WriteFile[],
    cwd: string | null,
    signal: AbortSignal,
  ): Promise<{ path: string; sizeBytes: number }[]> {
    const written: { path: string; sizeBytes: number }[] = [];
    for (const file of files) {
      const absolute = absolutePath(file.path, cwd);
      try {
        await this.#with(sandboxId, absolute, signal, (connection) => writeOne(connection, absolute, file));
      } catch (error) {
        throw partialWriteError(error, written);
      }
      written.push({ path: absolute, sizeBytes: file.content.length });
    }
    return written;
  }

  async *readTree(
    sandboxId: string,
    path: string,
    cwd: string | null,
    signal: AbortSignal,
    onSkipped: OnSkipped = () => {},
  ): AsyncIterable<TreeEntry> {
    const absolute = absolutePath(path, cwd);
    const connection = await this.#open(sandboxId, signal);
    try {
      await connection.send(FRAME.TREE_READ, encodeFields([[TAG.path, absolute]]));
      yield* receiveTree(connection, onSkipped, (error) => fromAgentError(error, absolute));
    } catch (error) {
      throw fromAgentError(await diagnoseDisconnect(this.#context, sandboxId, error, signal), absolute);
    } finally {
      connection.close();
    }
  }

  /** What is below a directory, without contents. */
  async *survey(
    sandboxId: string,
    path: string,
    signal: AbortSignal,
    onLeftOut: OnLeftOut,
  ): AsyncIterable<SurveyedEntry> {
    const connection = await this.#open(sandboxId, signal);
    try {
      const fields = encodeFields([
        [TAG.path, path],
        [TAG.details, 1],
      ]);
      await connection.send(FRAME.TREE_READ, fields);
      yield* receiveSurvey(connection, onLeftOut);
    } catch (error) {
      throw fromAgentError(await diagnoseDisconnect(this.#context, sandboxId, error, signal), path);
    } finally {
      connection.close();
    }
  }

  async writeTree(
    sandboxId: string,
    path: string,
    cwd: string | null,
    entries: AsyncIterable<TreeEntry>,
    signal: AbortSignal,
  ): Promise<{ path: string; files: number; bytes: number }> {
    const absolute = absolutePath(path, cwd);
    throwIfCancelled(signal);
    // The signal ends the stream but not the connection: the agent closes that once it has cleaned up.
    const write = async (connection: AgentConnection) => {
      // The agent of a sandbox from an earlier version refuses an entry with a time.
      const agent = await connection.request(FRAME.PING);
      const withTimes = agent.optionalNumber(TAG.fileTimes) === 1;
      await connection.send(FRAME.TREE_WRITE, encodeFields([[TAG.path, absolute]]));
      const answer = await sendTree(connection, entries, withTimes, signal);
      return { path: absolute, files: answer.number(TAG.files), bytes: answer.number(TAG.bytes) };
    };
    return this.#with(sandboxId, absolute, signal, write, null);
  }

  async explore(sandboxId: string, signal: AbortSignal): Promise<FileExplorer> {
    const connection = await this.#open(sandboxId, signal);
    return new OciExplorer(connection, async (error) =>
      fromAgentError(await diagnoseDisconnect(this.#context, sandboxId, error, signal), sandboxId),
    );
  }

  /** `bound` closes the connection, `signal` cancels the call. */
  async #open(
    sandboxId: string,
    signal: AbortSignal,
    bound: AbortSignal | null = signal,
  ): Promise<AgentConnection> {
    const sandbox = await reconcileRecord(this.#context, sandboxId);
    requireStatus(sandbox, this.#allowedStatus, 'its files cannot be reached');
    throwIfCancelled(signal);
    const host = await this.#context.host();
    try {
      const firstFrameMs = bound === null ? WRITE_TREE_MS : undefined;
      const { agentSocket } = host.layout.sandbox(sandboxId);
      return await AgentConnection.open(
        agentSocket,
        bound,
        firstFrameMs === undefined ? {} : { firstFrameMs },
      );
    } catch (error) {
      throw fromAgentError(await diagnoseDisconnect(this.#context, sandboxId, error, signal), sandboxId);
    }
  }

  async #with<T>(
    sandboxId: string,
    path: string,
    signal: AbortSignal,
    work: (connection: AgentConnection) => Promise<T>,
    bound: AbortSignal | null = signal,
  ): Promise<T> {
    const connection = await this.#open(sandboxId, signal, bound);
    try {
      return await work(connection);
    } catch (error) {
      throw fromAgentError(await diagnoseDisconnect(this.#context, sandboxId, error, signal), path);
    } finally {
      connection.close();
    }
  }
}

/** Collects `DATA` until `END`; more than was requested is a protocol error. */
async function receiveData(connection: AgentConnection, limit: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for (;;) {
    const frame = await connection.expect(FRAME.DATA, FRAME.END);
    if (frame.type === FRAME.END) return Buffer.concat(parts);
    length += frame.body.length;
    if (length > limit)
      throw new SandboxError('server', 'The sandbox’s agent sent more data than requested.');
    parts.push(frame.body);
  }
}

async function writeOne(connection: AgentConnection, path: string, file: WriteFile): Promise<void> {
  await connection.send(
    FRAME.WRITE,
    encodeFields([
      [TAG.path, path],
      [TAG.mode, file.mode ?? KEEP_MODE],
    ]),
  );
  try {
    for (let at = 0; at < file.content.length; at += MAX_DATA) {
      await connection.push(FRAME.DATA, file.content.subarray(at, at + MAX_DATA));
    }
    await connection.send(FRAME.END);
  } catch (error) {
    // The agent may refuse before the upload is complete; its reason says more than the broken pipe.
    if (error instanceof AgentDisconnectedError) await connection.expect(FRAME.OK);
    throw error;
  }
  await connection.expect(FRAME.OK);
}
