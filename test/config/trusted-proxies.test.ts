import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { trustedProxy } from '../../src/config/trusted-proxies.ts';

const parse = (value: string) => trustedProxy({ origin: '--trusted-proxy', value });

describe('--trusted-proxy', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1', 32],
    ['10.1.0.0/16', '10.1.0.0', 16],
    ['::1', '::1', 128],
    ['fd00::/8', 'fd00::', 8],
  ])('takes %s', (text, address, prefix) => {
    expect(parse(text)).toEqual({ address, prefix });
  });

  it.each([
    'proxy.example',
    '',
    '10.0.0.0/33',
    '10.0.0.0/0',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    'fe80::1%eth0',
    '::/129',
  ])('rejects %j', (text) => {
    expect(() => parse(text)).toThrow('is not the address of a reverse proxy');
  });

  it('can be several in the environment', () => {
    const env = { SANDBOX_MCP_TRUSTED_PROXY: '10.0.0.1, ::1' };
    const { http } = loadConfig(new Map(), { env, cwd: '/', homeDir: '/home/user', isRoot: false });
    expect(http.trustedProxies.map(({ address }) => address)).toEqual(['10.0.0.1', '::1']);
  });
});
