/** An engine that fetches sources from a server on this machine, with limits of the test's own. */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CreateSandbox, Engine, SandboxSource } from '../../../../../src/engines/engine.ts';
import { createOciEngine } from '../../../../../src/engines/oci/index.ts';
import type { SourceLimits } from '../../../../../src/engines/oci/source/source-limits.ts';
import { newCommandId } from '../../../../../src/shared/ids.ts';
import { createLogger } from '../../../../../src/shared/log.ts';
import { createRequest, timeoutSignal } from '../../../../conformance/support/requests.ts';
import { warm } from '../../../../support/host/warm-state.ts';
import { HOST_ADDRESS, openSourceServer, type SourceServer } from '../../../../support/source-server.ts';
import { AGENT_PATH } from '../../support/oci-engines.ts';

export interface SourceWorld {
  engine: Engine;
  server: SourceServer;
  stateDir: string;
  /** Creates a sandbox with this source, and returns the output of a shell line in it. */
  print(source: SandboxSource, line: string, more?: Partial<CreateSandbox>): Promise<string>;
  /** The error of a create that must fail; throws if anything of the sandbox is left. */
  failure(source: SandboxSource, more?: Partial<CreateSandbox>): Promise<unknown>;
  close(): Promise<void>;
}

/** Without `stateDir`, a new one is used. */
export async function openSourceWorld(
  limits: Partial<SourceLimits> = {},
  given?: string,
): Promise<SourceWorld> {
  const server = await openSourceServer(HOST_ADDRESS ?? '127.0.0.1');
  const stateDir = given ?? (await mkdtemp(join(tmpdir(), 'sources-state-')));
  await mkdir(stateDir, { recursive: true });
  await chmod(stateDir, 0o711);
  if (given === undefined) await warm(stateDir);
  const engine = createOciEngine({
    stateDir,
    ociRuntime: 'auto',
    agentPath: AGENT_PATH,
    egress: { allow: [server.range], dns: [], maxBytes: null },
    sourceLimits: limits,
    log: createLogger('silent'),
  });
  const requestOf = (source: SandboxSource, more: Partial<CreateSandbox> = {}): CreateSandbox =>
    createRequest({ source, networkPolicy: { mode: 'allow-all' }, ...more });
  return {
    engine,
    server,
    stateDir,
    async print(source, line, more) {
      const { sandboxId } = await engine.create(requestOf(source, more), timeoutSignal());
      try {
        const commandId = newCommandId(sandboxId);
        const program = {
          cmd: '/bin/bash',
          args: ['-c', line],
          cwd: null,
          env: {},
          sudo: false,
          timeoutMs: null,
        };
        await engine.commands.start({ commandId, sandboxId, ...program }, timeoutSignal());
        await engine.commands.wait(commandId, timeoutSignal());
        const request = { stream: 'both' as const, offset: 0, limit: 1_000_000 };
        const { chunks } = await engine.commands.readOutput(commandId, request, timeoutSignal());
        return Buffer.concat(chunks.map(({ data }) => data)).toString();
      } finally {
        await engine.forget(sandboxId, timeoutSignal());
      }
    },
    async failure(source, more) {
      const request = requestOf(source, more);
      const error: unknown = await engine.create(request, timeoutSignal()).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      const { items } = await engine.list(
        { limit: 10, since: null, until: null, cursor: null },
        timeoutSignal(),
      );
      if (items.length === 0 && error !== null) return error;
      await engine.forget(request.sandboxId, timeoutSignal());
      throw new Error('the sandbox was created, or something of it is left', { cause: error });
    },
    async close() {
      await engine.close();
      await server.close();
      if (given === undefined) await rm(stateDir, { recursive: true, force: true });
    },
  };
}
