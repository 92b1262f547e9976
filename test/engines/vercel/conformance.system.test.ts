/** The contract on the vercel engine: always with the stand-in, and with the real cloud on request. */
import { expect, it } from 'vitest';
import { describeEngineContract } from '../../conformance/contract.ts';
import type { EngineUnderTest } from '../../conformance/support/subject.ts';
import { startVercelApi } from '../../fakes/vercel/index.ts';
import { needs } from '../../support/needs.ts';
import { missingForLive, openLiveEngines, openVercelEngine } from './support/vercel-engines.ts';

describeEngineContract('vercel, through the stand-in', openThroughStandIn);

async function openThroughStandIn(): Promise<EngineUnderTest> {
  const api = await startVercelApi();
  const first = await openVercelEngine(api, { pollMs: 20 });
  const second = await openVercelEngine(api, { stateDir: first.stateDir, pollMs: 20 });
  return {
    engine: first.engine,
    other: second.engine,
    async close() {
      await Promise.all([first.engine.close(), second.engine.close()]);
      const alive = await api.alive();
      await api.close();
      await first.remove();
      expect(api.violations).toEqual([]);
      expect(api.deeds.resumed).toEqual([]);
      expect(alive).toEqual([]);
    },
  };
}

const missing = missingForLive();

if (missing === null) {
  describeEngineContract('vercel, in the cloud', openLiveEngines);
} else {
  it('engine contract: vercel, in the cloud', needs(`the real cloud: ${missing}`, false), () => undefined);
}
