import { expect } from 'vitest';
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import { BAD_POLICIES } from '../policies/bad-policies.ts';
import { HEADER_CASES } from '../policies/header-cases.ts';
import { POLICY_CASES } from '../policies/policy-cases.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

/** Connects to an address that no policy can allow, and prints the first line of the response. */
const ASK = `const s = require('net').connect(80, '169.254.169.254', () => s.write('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'));
s.setTimeout(4000, () => s.destroy());
s.on('data', (d) => console.log(String(d).split('\\n')[0])).on('error', (e) => console.log(e.code)).on('close', () => process.exit());`;

/** A policy as an engine may report it: with the header values, or with masked ones. */
function reported(policy: NetworkPolicy): unknown {
  if (policy.rules === undefined) return policy;
  const rules = policy.rules.map(({ headers, ...rule }) => ({
    ...rule,
    ...(headers && {
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name, expect.toBeOneOf([value, '***'])]),
      ),
    }),
  }));
  return { ...policy, rules };
}

/** Network policies, if the engine can change them. */
export function networkCases(get: () => Subject, extent: Extent): void {
  describeCases('network policies', extent, (it) => {
    it('refuses addresses that no policy can allow, with a readable reason, and reports it', async (context) => {
      const { engine, other, create } = get();
      const { networkPolicies } = engine;
      const { networkModes } = await engine.limits(timeoutSignal());
      if (!networkPolicies?.activity || !networkModes.includes('allow-all'))
        return context.skip('this engine has no outbound network');
      const { sandboxId } = await create({ networkPolicy: { mode: 'allow-all' } });
      expect((await run(get(), 'node', ['-e', ASK], { sandboxId })).stdout).toBe(
        'HTTP/1.1 403 Forbidden\r\n',
      );
      expect(await networkPolicies.activity(sandboxId)).toMatchObject({
        refused: 1,
        lastRefused: [{ address: '169.254.169.254', port: 80 }],
      });

      expect(await networkPolicies.update(sandboxId, { mode: 'deny-all' }, timeoutSignal())).toEqual({
        mode: 'deny-all',
      });
      expect((await other.get(sandboxId, timeoutSignal())).networkPolicy).toEqual({ mode: 'deny-all' });
      expect((await run(get(), 'node', ['-e', ASK], { sandboxId })).stdout).toBe(
        'HTTP/1.1 403 Forbidden\r\n',
      );
      expect((await networkPolicies.activity(sandboxId)).lastRefused[0]?.rule).not.toBe('');
    });

    it('accepts every policy of the tables unchanged, and rejects invalid ones', async (context) => {
      const { engine, other, shared } = get();
      const { networkPolicies } = engine;
      const { networkModes } = await engine.limits(timeoutSignal());
      if (!networkPolicies || !networkModes.includes('custom'))
        return context.skip('this engine has no custom policies');
      const { sandboxId } = shared;
      const given = new Map(
        [...POLICY_CASES, ...HEADER_CASES].map(({ policy }) => [JSON.stringify(policy), policy]),
      );
      for (const policy of given.values())
        expect(await networkPolicies.update(sandboxId, policy, timeoutSignal())).toEqual(reported(policy));
      const last = reported([...given.values()].at(-1) ?? { mode: 'deny-all' });
      for (const [title, policy] of BAD_POLICIES) {
        await expect(networkPolicies.update(sandboxId, policy, timeoutSignal()), title).rejects.toMatchObject(
          {
            code: 'invalid_argument',
          },
        );
      }
      expect((await other.get(sandboxId, timeoutSignal())).networkPolicy).toEqual(last);
      await networkPolicies.update(sandboxId, shared.networkPolicy, timeoutSignal());
    });

    it('cannot be changed once the sandbox has ended', async (context) => {
      const { engine, create } = get();
      if (!engine.networkPolicies) return context.skip('this engine cannot change a policy');
      const { sandboxId } = await create();
      await engine.stop(sandboxId, 'requested', timeoutSignal());
      await expect(
        engine.networkPolicies.update(sandboxId, { mode: 'deny-all' }, timeoutSignal()),
      ).rejects.toMatchObject({ code: 'conflict' });
    });
  });
}
