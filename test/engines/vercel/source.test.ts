import { describe, expect, it } from 'vitest';
import { compilePolicy } from '../../../src/egress/policy/policy.ts';
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import type { VercelContext } from '../../../src/engines/vercel/context.ts';
import { checkSource, sourceFailure } from '../../../src/engines/vercel/sandbox/source.ts';
import { SandboxError } from '../../../src/shared/errors.ts';
import { SecretStore } from '../../../src/shared/secrets.ts';
import { createRequest } from '../../conformance/support/requests.ts';

const secrets = new SecretStore([{ name: 'TOKEN', value: 'swordfish', domains: ['git.test'], env: false }]);
const readPolicy: VercelContext['readPolicy'] = (policy) =>
  compilePolicy(policy, { opened: [], ownAddresses: () => [] }, { secrets });
const GIT = { type: 'git' as const, url: 'https://git.test/a.git', password: `\u0024{secret:TOKEN}` };

describe('sources that the cloud fetches', () => {
  it.each<[string, NetworkPolicy, string, boolean]>([
    ['a name under allow-all', { mode: 'allow-all' }, 'git.test', true],
    ['a name under deny-all', { mode: 'deny-all' }, 'git.test', false],
    ['a name that is allowed', { mode: 'custom', allow: ['*.test'] }, 'git.test', true],
    ['another name', { mode: 'custom', allow: ['other.test'] }, 'git.test', false],
    [
      'a name with only a subnet allowed',
      { mode: 'custom', subnets: { allow: ['203.0.113.0/24'] } },
      'git.test',
      false,
    ],
    [
      'an address of the subnet',
      { mode: 'custom', subnets: { allow: ['203.0.113.0/24'] } },
      '203.0.113.7',
      true,
    ],
    [
      'an address that is denied',
      { mode: 'custom', subnets: { allow: ['203.0.113.0/24'], deny: ['203.0.113.7'] } },
      '203.0.113.7',
      false,
    ],
    [
      'an IPv6 address of the subnet',
      { mode: 'custom', subnets: { allow: ['2001:db8::/32'] } },
      '[2001:db8::7]',
      true,
    ],
    ['an address with only a name allowed', { mode: 'custom', allow: ['git.test'] }, '203.0.113.7', false],
    ['an address under deny-all', { mode: 'deny-all' }, '203.0.113.7', false],
  ])('are checked against the policy of the sandbox: %s', (_, networkPolicy, host, allowed) => {
    const source = { type: 'tarball' as const, url: `https://${host}/a.tgz` };
    const check = () => checkSource({ readPolicy }, source, createRequest({ networkPolicy }));
    if (allowed) expect(check).not.toThrow();
    else expect(check).toThrow(expect.objectContaining({ code: 'permission' }));
  });

  it.each([
    ["Could not clone: fatal: could not read Username for 'https://git.test'", 'auth'],
    ['Could not download: status 401', 'auth'],
    ["fatal: couldn't find remote ref nope", 'not_found'],
    ["error: pathspec 'nope' did not match any file(s) known to git", 'not_found'],
    ["fatal: repository 'https://git.test/a.git/' not found", 'not_found'],
    ['Could not download: status 404', 'not_found'],
    ['Could not download: status 403', 'permission'],
    ["fatal: transport 'file' not allowed", 'permission'],
    ['Could not clone: connection refused', 'unavailable'],
    ['Could not unpack the source: This does not look like a tar archive', 'invalid_argument'],
  ])("report the cloud's message: %s", (words, code) => {
    const failure = sourceFailure({ secrets }, GIT, refusal(), words);
    expect(failure).toMatchObject({ code, message: expect.stringContaining(`Vercel said:\n${words}`) });
    expect(failure.hint).not.toBe('');
  });

  it('leave other refusals unchanged', () => {
    const failure = refusal();
    expect(sourceFailure({ secrets }, GIT, failure, 'ports: at most 4')).toBe(failure);
    const auth = new SandboxError('auth', 'The token has expired.');
    expect(sourceFailure({ secrets }, GIT, auth, 'clone')).toBe(auth);
  });

  it('never reveal echoed credentials', () => {
    const encoded = Buffer.from('x-access-token:swordfish').toString('base64');
    const words = `Could not clone https://x-access-token:swordfish@git.test with Basic ${encoded}`;
    const { message } = sourceFailure({ secrets }, GIT, refusal(), words);
    expect(message).toContain('https://x-access-token:***@git.test with Basic ***');
  });
});

function refusal(): SandboxError {
  return new SandboxError('invalid_argument', 'Vercel refused to create a sandbox.');
}
