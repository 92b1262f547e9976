import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { secretSettings } from '../../src/config/secret-settings.ts';
import { ConfigError } from '../../src/config/setting.ts';
import { SecretStore } from '../../src/shared/secrets.ts';

// A reference to a secret, built so that the linter does not report a template in a string.
const say = (name: string): string => `\${secret:${name}}`;

const ENV = {
  SANDBOX_MCP_SECRET_TOKEN: 'tok-123456',
  SANDBOX_MCP_SECRET_TOKEN_DOMAINS: 'API.example.com., *.example.org',
  SANDBOX_MCP_SECRET_OPEN: 'open-sesame',
  SANDBOX_MCP_SECRET_OPEN_ENV: 'true',
  SANDBOX_MCP_SECRET_EMPTY: '',
  SANDBOX_MCP_SECRETS: 'none of ours',
};

function refusal(act: () => unknown): { code: string; message: string; hint: string } {
  try {
    act();
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'hint' in error)
      return { code: String(error.code), message: error.message, hint: String(error.hint) };
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('operator secrets', () => {
  const store = new SecretStore(secretSettings(ENV));

  it('are read with their domains and whether sandboxes may read them', () => {
    expect(secretSettings(ENV)).toEqual([
      { name: 'TOKEN', value: 'tok-123456', domains: ['api.example.com', '*.example.org'], env: false },
      { name: 'OPEN', value: 'open-sesame', domains: [], env: true },
    ]);
  });

  it.each<[string, Record<string, string>]>([
    ['a lower-case name', { SANDBOX_MCP_SECRET_token: 'hidden!' }],
    ['no name', { SANDBOX_MCP_SECRET_: 'hidden!' }],
    ['a name that ends in a setting suffix', { SANDBOX_MCP_SECRET_PROD_ENV: 'hidden!' }],
    ['an empty list of domains', { SANDBOX_MCP_SECRET_A_DOMAINS: 'hidden!' }],
    ['an invalid domain', { SANDBOX_MCP_SECRET_A: 'x', SANDBOX_MCP_SECRET_A_DOMAINS: 'hidden!' }],
    ['an invalid boolean', { SANDBOX_MCP_SECRET_A: 'x', SANDBOX_MCP_SECRET_A_ENV: 'hidden!' }],
  ])('are rejected for %s, without showing a value', (_title, env) => {
    const error = refusal(() => secretSettings(env));
    expect(() => secretSettings(env)).toThrow(ConfigError);
    expect(error.message).toContain('SANDBOX_MCP_SECRET_');
    expect(JSON.stringify(error)).not.toContain('hidden!');
  });

  it('are substituted in text for their domains', () => {
    expect(store.fill(`Bearer ${say('TOKEN')}, ${say('TOKEN')}`, 'api.example.com')).toBe(
      'Bearer tok-123456, tok-123456',
    );
    expect(store.fill(say('TOKEN'), 'a.b.example.org')).toBe('tok-123456');
    const plain = `costs $TOKEN, or \${TOKEN}`;
    expect(store.fill(plain, 'elsewhere.net')).toBe(plain);
  });

  it('are substituted for a domain pattern only when all of it is allowed', () => {
    expect(store.fill(say('TOKEN'), '*.example.org')).toBe('tok-123456');
    expect(store.fill(say('TOKEN'), '*.deep.example.org')).toBe('tok-123456');
    for (const pattern of ['*', '*.org', '*.example.com', 'example.org'])
      expect(refusal(() => store.fill(say('TOKEN'), pattern)).code).toBe('permission');
  });

  it('insert a value with replacement patterns literally', () => {
    const odd = new SecretStore([{ name: 'ODD', value: "$&$1$'", domains: ['*'], env: false }]);
    expect(odd.fill(`<${say('ODD')}>`, 'a.net')).toBe("<$&$1$'>");
  });

  it('are not sent elsewhere, and the error names the setting to change', () => {
    const error = refusal(() => store.fill(say('TOKEN'), 'evil.net'));
    expect(error).toMatchObject({
      code: 'permission',
      message: 'Secret TOKEN may not be sent to evil.net.',
      hint: expect.stringContaining('SANDBOX_MCP_SECRET_TOKEN_DOMAINS'),
    });
    expect(refusal(() => store.fill(say('OPEN'), 'evil.net')).hint).toContain('currently: none');
    expect(refusal(() => store.fill(say('EMPTY'), 'evil.net'))).toMatchObject({ code: 'invalid_argument' });
  });

  it.each([say('token'), say(''), `\${secret:TOKEN`, say('A B')])('are not referenced by %j', (text) => {
    expect(refusal(() => store.fill(text, 'api.example.com')).code).toBe('invalid_argument');
  });

  it('are substituted in an environment only when sandboxes may read them', () => {
    expect(store.fillEnvironment({ A: `x${say('OPEN')}`, B: 'plain' })).toEqual({
      A: 'xopen-sesame',
      B: 'plain',
    });
    expect(refusal(() => store.fillEnv(say('TOKEN')))).toMatchObject({
      code: 'permission',
      hint: expect.stringContaining('SANDBOX_MCP_SECRET_TOKEN_ENV=true'),
    });
  });

  it('are masked in text, and not shown by the store', () => {
    expect(store.mask('a tok-123456 b open-sesame')).toBe('a *** b ***');
    const nested = new SecretStore([
      { name: 'A', value: 'secret', domains: [], env: false },
      { name: 'B', value: 'secret-longer', domains: [], env: false },
      { name: 'C', value: 'ab', domains: [], env: false },
    ]);
    expect(nested.mask('secret-longer secret ab')).toBe('*** *** ab');
    expect(JSON.stringify(store) + inspect(store, { depth: 9, showHidden: true })).not.toMatch(/tok-|sesame/);
  });
});
