/**
 * The real tools and engine in this process, called with the SDK's client; tests can pause the slow parts.
 */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import type { RequestOptions } from '@modelcontextprotocol/sdk/shared/protocol.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { loadConfig } from '../../../src/config/config.ts';
import { delayCreates } from '../../../src/engines/delay-creates.ts';
import type { Engine, TreeEntry } from '../../../src/engines/engine.ts';
import { createRegistry } from '../../../src/registry/registry.ts';
import type { Registry, Session } from '../../../src/registry/types.ts';
import { createServer } from '../../../src/server/create-server.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { TOOLS } from '../../../tools/index.ts';
import { openOciEngines } from '../../engines/oci/support/oci-engines.ts';
import { SHARED_VALIDATORS } from '../../support/client/shared-validators.ts';
import type { Answer } from '../../support/server.ts';
import { CALL_TIMEOUT_MS } from '../../support/timeout-factor.ts';

/** The steps that can be paused: tree entries after the first file, a stop, the result of a snapshot. */
export type Step = 'tree' | 'stop' | 'snapshot';

export interface LocalServer {
  session: Session;
  registry: Registry;
  /** Folder that `local_path` may name. */
  cwd: string;
  call(name: string, args?: Record<string, unknown>, options?: RequestOptions): Promise<Answer>;
  /** Pauses a step from now on; `reached` resolves when the first call waits there. */
  hold(step: Step): { reached: Promise<void>; release: () => void };
  close(): Promise<void>;
}

/** Passed to `createServer`. */
export async function openLocalServer(softTimeoutMs: number): Promise<LocalServer> {
  const home = await mkdtemp(join(tmpdir(), 's-'));
  await chmod(home, 0o711);
  const cwd = join(home, 'w');
  await mkdir(cwd);
  const { engine, stateDir, close: closeEngines } = await openOciEngines();
  const gates = new Gates();
  const log = createLogger('silent');
  const env = {};
  const config = loadConfig(new Map(), { env, cwd, homeDir: home, isRoot: process.getuid?.() === 0 });
  const registry = createRegistry({
    engine: heldEngine(engine, gates),
    config,
    log,
    clock: systemClock,
    stateDir,
  });
  const session = registry.openSession('local');
  const { server } = createServer({
    session,
    tools: TOOLS,
    config,
    log,
    version: '1',
    softTimeoutMs,
  });
  const client = new Client({ name: 'test', version: '1' }, { jsonSchemaValidator: SHARED_VALIDATORS });
  const [near, far] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(far), client.connect(near)]);
  await client.listTools();
  return {
    session,
    registry,
    cwd,
    async call(name, args = {}, options) {
      const result = CallToolResultSchema.parse(
        await client.callTool({ name, arguments: args }, undefined, {
          timeout: CALL_TIMEOUT_MS,
          ...options,
        }),
      );
      const text = result.content.map((block) => (block.type === 'text' ? block.text : '')).join('\n');
      return { structured: result.structuredContent ?? {}, text, isError: result.isError === true };
    },
    hold: (step) => gates.hold(step),
    async close() {
      gates.releaseAll();
      await client.close();
      await registry.close('shutdown');
      await closeEngines();
      await rm(home, { recursive: true, force: true });
    },
  };
}

class Gates {
  readonly #held = new Map<Step, { reach: () => void; open: Promise<void>; release: () => void }>();

  hold(step: Step): { reached: Promise<void>; release: () => void } {
    let reach = (): void => {};
    let open = (): void => {};
    const reached = new Promise<void>((resolve) => {
      reach = resolve;
    });
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const release = (): void => {
      this.#held.delete(step);
      open();
    };
    this.#held.set(step, { reach, open: opened, release });
    return { reached, release };
  }

  /** Resolves at once if the step is not paused, and when the signal fires. */
  async pass(step: Step, signal?: AbortSignal): Promise<void> {
    const held = this.#held.get(step);
    if (held === undefined) return;
    held.reach();
    const aborted = new Promise<void>((resolve) => {
      if (signal?.aborted) resolve();
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([held.open, aborted]);
  }

  releaseAll(): void {
    for (const { release } of [...this.#held.values()]) release();
  }
}

function heldEngine(engine: Engine, gates: Gates): Engine {
  const { files, snapshots } = engine;
  async function* held(entries: AsyncIterable<TreeEntry>, signal: AbortSignal): AsyncGenerator<TreeEntry> {
    for await (const entry of entries) {
      yield entry;
      if (entry.type === 'file') await gates.pass('tree', signal);
    }
  }
  return {
    ...delayCreates(engine, async () => {}),
    async stop(id, cause, signal) {
      const stopping = engine.stop(id, cause, signal);
      if (cause === 'requested') await gates.pass('stop');
      return stopping;
    },
    files: {
      mkDir: (...given) => files.mkDir(...given),
      stat: (...given) => files.stat(...given),
      read: (...given) => files.read(...given),
      write: (...given) => files.write(...given),
      explore: (...given) => files.explore(...given),
      readTree: (id, path, cwd, signal) => held(files.readTree(id, path, cwd, signal), signal),
      writeTree: (id, path, cwd, entries, signal) =>
        files.writeTree(id, path, cwd, held(entries, signal), signal),
    },
    ...(snapshots && {
      snapshots: {
        get: (...given) => snapshots.get(...given),
        list: (...given) => snapshots.list(...given),
        delete: (...given) => snapshots.delete(...given),
        async take(id, expirationMs, signal) {
          const taken = await snapshots.take(id, expirationMs, signal);
          await gates.pass('snapshot');
          return taken;
        },
      },
    }),
  };
}
