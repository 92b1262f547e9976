import { describe, expect, it } from 'vitest';
import {
  UnknownPolicyParts,
  unknownPartsOf,
} from '../../../../src/engines/vercel/http/unknown-policy-parts.ts';

describe('the parts of a policy that the SDK does not parse', () => {
  it('are empty for a policy that it parses completely', () => {
    const match = {
      path: { startsWith: '/' },
      method: ['GET'],
      queryString: [{ key: { exact: 'q' } }],
      headers: [],
    };
    expect(unknownPartsOf({ mode: 'allow-all' })).toEqual([]);
    expect(
      unknownPartsOf({
        mode: 'custom',
        allowedDomains: ['a.example'],
        allowedCIDRs: [],
        deniedCIDRs: [],
        injectionRules: [{ domain: 'a.example', headerNames: ['x'], match }],
        forwardRules: [{ domain: 'a.example', forwardURL: 'https://b.example', match }],
      }),
    ).toEqual([]);
  });

  it('are named with their place and value', () => {
    expect(
      unknownPartsOf({
        mode: 'custom',
        responseRules: [{ domain: 'a.example', statusCode: 403 }],
        injectionRules: [{ domain: 'a.example', match: { cookie: { exact: 'c' } } }],
      }),
    ).toEqual([
      'injectionRules.0.match.cookie: {"exact":"c"}',
      'responseRules: [{"domain":"a.example","statusCode":403}]',
    ]);
  });

  it('are kept per session, from the last response', () => {
    const parts = new UnknownPolicyParts();
    parts.note({ sandbox: {} });
    expect(parts.of('ses_1')).toEqual([]);
    parts.note({ session: { id: 'ses_1', networkPolicy: { mode: 'custom', quota: 1 } } });
    expect(parts.of('ses_1')).toEqual(['quota: 1']);
    parts.note({ session: { id: 'ses_1', networkPolicy: { mode: 'custom' } } });
    expect(parts.of('ses_1')).toEqual([]);
  });
});
