import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createOciEngine } from '../../src/engines/oci/index.ts';
import { createLogger } from '../../src/shared/log.ts';
import type { EngineUnderTest } from './contract.ts';

export const AGENT_PATH = fileURLToPath(new URL(`../../dist/agent-${process.arch}`, import.meta.url));

/** Two engines over one state directory of their own, which goes when they are closed. */
export async function openOciEngines(): Promise<EngineUnderTest & { stateDir: string }> {
  const stateDir = await mkdtemp(join(tmpdir(), 'sandbox-mcp-test-'));
  await chmod(stateDir, 0o711);
  const options = { stateDir, ociRuntime: 'auto', agentPath: AGENT_PATH, log: createLogger('silent') };
  const engine = createOciEngine(options);
  const other = createOciEngine(options);
  return {
    engine,
    other,
    stateDir,
    async close() {
      await Promise.all([engine.close(), other.close()]);
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}
