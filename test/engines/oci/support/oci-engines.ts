import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createOciEngine } from '../../../../src/engines/oci/index.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import type { EngineUnderTest } from '../../../conformance/support/subject.ts';
import { warm } from '../../../support/host/warm-state.ts';
import { HOST_ADDRESS } from '../../../support/source-server.ts';

export const AGENT_PATH = fileURLToPath(new URL(`../../../../dist/agent-${process.arch}`, import.meta.url));

/** Two engines on a new state directory, which is removed when they are closed.
 * @param isolation the isolation that the engine must report; throws if it reports another
 */
export async function openOciEngines(
  ociRuntime = 'auto',
  isolation?: string,
): Promise<EngineUnderTest & { stateDir: string }> {
  const stateDir = await mkdtemp(join(tmpdir(), 'sandbox-mcp-test-'));
  await chmod(stateDir, 0o711);
  await warm(stateDir);
  // The servers of the cases run on this host, which the operator must allow.
  const egress = { allow: HOST_ADDRESS === null ? [] : [`${HOST_ADDRESS}/32`], dns: [], maxBytes: null };
  const options = { stateDir, ociRuntime, agentPath: AGENT_PATH, egress, log: createLogger('silent') };
  const engine = createOciEngine(options);
  const other = createOciEngine(options);
  const close = async () => {
    await Promise.all([engine.close(), other.close()]);
    await rm(stateDir, { recursive: true, force: true });
  };
  try {
    const limits = await engine.limits(AbortSignal.timeout(300_000));
    if (isolation !== undefined && !limits.isolation.includes(isolation)) {
      throw new Error(`expected the isolation "${isolation}", but the engine reports "${limits.isolation}"`);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { engine, other, stateDir, close };
}
