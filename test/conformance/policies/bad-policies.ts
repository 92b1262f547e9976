import type { NetworkPolicy } from '../../../src/engines/engine.ts';

const custom = (policy: Omit<NetworkPolicy, 'mode'>): NetworkPolicy => ({ mode: 'custom', ...policy });

const header = (name: string, value: string): NetworkPolicy =>
  custom({ rules: [{ domain: 'example.com', headers: { [name]: value } }] });

/** Invalid policies. */
export const BAD_POLICIES: readonly (readonly [title: string, policy: NetworkPolicy])[] = [
  ['a URL as a domain', custom({ allow: ['https://example.com'] })],
  ['a domain with a port', custom({ allow: ['example.com:443'] })],
  ['an address as a domain', custom({ allow: ['198.51.100.7'] })],
  ['a number as a domain', custom({ allow: ['2130706433'] })],
  ['a hexadecimal address as a domain', custom({ allow: ['0x7f.1'] })],
  ['a star in the middle', custom({ allow: ['a.*.com'] })],
  ['an empty domain', custom({ allow: [''] })],
  ['a domain with a line break', custom({ allow: ['a.com\r\nb'] })],
  ['a name as a subnet', custom({ subnets: { allow: ['example.com'] } })],
  ['too many bits', custom({ subnets: { deny: ['10.0.0.0/33'] } })],
  ['an octal spelling', custom({ subnets: { allow: ['010.0.0.1'] } })],
  ['a short spelling', custom({ subnets: { allow: ['10.1'] } })],
  ['a rule for a URL', custom({ rules: [{ domain: 'https://example.com' }] })],
  ['a header with a line break', header('X-A', 'a\r\nX-B: c')],
  ['a header name with a colon', header('X-A:', 'a')],
  ['a framing header', header('Content-Length', '0')],
  ['a routing header', header('Host', 'other.example')],
  ['a connection header', header('Connection', 'close')],
  ['an unknown secret', header('X-A', '\u0024{secret:NOBODY}')],
  ['an empty list of methods', custom({ rules: [{ domain: 'example.com', match: { methods: [] } }] })],
  ['an invalid prefix', custom({ rules: [{ domain: 'example.com', match: { pathPrefix: 'v1' } }] })],
  ['lists with allow-all', { mode: 'allow-all', allow: ['example.com'] }],
  ['subnets with deny-all', { mode: 'deny-all', subnets: { allow: ['198.51.100.0/24'] } }],
];
