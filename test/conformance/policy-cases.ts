/** What a network policy means, as a table that the tests of every engine share. */
import type { NetworkPolicy } from '../../src/engines/engine.ts';
import { CLOSED_CASES } from './closed-cases.ts';

export interface PolicyCase {
  readonly title: string;
  readonly policy: NetworkPolicy;
  /** Ranges that the operator opens. */
  readonly opened?: readonly string[];
  /** The name that the program connects by, or null for a bare address. */
  readonly name: string | null;
  readonly address: string;
  readonly port?: number;
  readonly allowed: boolean;
}

const custom = (policy: Omit<NetworkPolicy, 'mode'>): NetworkPolicy => ({ mode: 'custom', ...policy });
const PUBLIC = '198.51.100.7';
const all: NetworkPolicy = { mode: 'allow-all' };

export const POLICY_CASES: readonly PolicyCase[] = [
  { title: 'allow-all passes a name', policy: all, name: 'example.com', address: PUBLIC, allowed: true },
  { title: 'allow-all passes a bare address', policy: all, name: null, address: PUBLIC, allowed: true },
  {
    title: 'allow-all passes IPv6 addresses',
    policy: all,
    name: null,
    address: '2606:4700::1',
    allowed: true,
  },
  ...CLOSED_CASES,
  {
    title: 'deny-all refuses a name',
    policy: { mode: 'deny-all' },
    name: 'example.com',
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'deny-all refuses an address',
    policy: { mode: 'deny-all' },
    name: null,
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'deny-all refuses an opened range',
    policy: { mode: 'deny-all' },
    opened: ['10.0.0.0/8'],
    name: null,
    address: '10.0.0.1',
    allowed: false,
  },
  {
    title: 'custom without anything refuses',
    policy: custom({}),
    name: 'example.com',
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'a domain passes',
    policy: custom({ allow: ['example.com'] }),
    name: 'example.com',
    address: PUBLIC,
    allowed: true,
  },
  {
    title: 'a domain passes in capitals and with a dot',
    policy: custom({ allow: ['Example.COM.'] }),
    name: 'example.com',
    address: PUBLIC,
    allowed: true,
  },
  {
    title: 'a domain does not open its subdomains',
    policy: custom({ allow: ['example.com'] }),
    name: 'www.example.com',
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'a domain does not open a longer name',
    policy: custom({ allow: ['example.com'] }),
    name: 'notexample.com',
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'a domain does not open a suffixed name',
    policy: custom({ allow: ['example.com'] }),
    name: 'example.com.evil.net',
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'a wildcard opens a subdomain',
    policy: custom({ allow: ['*.example.com'] }),
    name: 'a.example.com',
    address: PUBLIC,
    allowed: true,
  },
  {
    title: 'a wildcard opens deep subdomains',
    policy: custom({ allow: ['*.example.com'] }),
    name: 'a.b.c.example.com',
    address: PUBLIC,
    allowed: true,
  },
  {
    title: 'a wildcard does not open the apex',
    policy: custom({ allow: ['*.example.com'] }),
    name: 'example.com',
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'a wildcard does not open a longer name',
    policy: custom({ allow: ['*.example.com'] }),
    name: 'a.notexample.com',
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'an international domain passes in its ASCII form',
    policy: custom({ allow: ['bücher.example'] }),
    name: 'xn--bcher-kva.example',
    address: PUBLIC,
    allowed: true,
  },
  {
    title: 'an address without a name needs a subnet',
    policy: custom({ allow: ['example.com'] }),
    name: null,
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'an allowed subnet passes by the domain list',
    policy: custom({ subnets: { allow: ['198.51.100.0/24'] } }),
    name: 'other.net',
    address: PUBLIC,
    allowed: true,
  },
  {
    title: 'an allowed subnet ends where it ends',
    policy: custom({ subnets: { allow: ['198.51.100.0/30'] } }),
    name: null,
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'an allowed IPv6 subnet passes',
    policy: custom({ subnets: { allow: ['2606:4700::/32'] } }),
    name: null,
    address: '2606:4700::1',
    allowed: true,
  },
  {
    title: 'an IPv4 rule holds for the mapped spelling',
    policy: custom({ subnets: { allow: ['198.51.100.0/24'] } }),
    name: null,
    address: '::ffff:198.51.100.7',
    allowed: true,
  },
  {
    title: 'a mapped range holds for IPv4',
    policy: custom({ subnets: { allow: ['::ffff:198.51.100.0/120'] } }),
    name: null,
    address: PUBLIC,
    allowed: true,
  },
  {
    title: 'a denied subnet wins over a domain',
    policy: custom({ allow: ['example.com'], subnets: { deny: ['198.51.100.0/24'] } }),
    name: 'example.com',
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'a denied subnet wins over an allowed one',
    policy: custom({ subnets: { allow: ['198.51.100.0/24'], deny: [PUBLIC] } }),
    name: null,
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'a denied subnet wins over the operator',
    policy: custom({ subnets: { allow: ['10.0.0.0/8'], deny: ['10.0.0.0/24'] } }),
    opened: ['10.0.0.0/8'],
    name: null,
    address: '10.0.0.1',
    allowed: false,
  },
  {
    title: 'a denied IPv4 subnet holds for the mapped spelling',
    policy: custom({ allow: ['*'], subnets: { deny: ['198.51.100.0/24'] } }),
    name: 'example.com',
    address: '::ffff:198.51.100.7',
    allowed: false,
  },
  {
    title: 'the domain of a rule counts as allowed',
    policy: custom({ rules: [{ domain: 'api.example.com' }] }),
    name: 'api.example.com',
    address: PUBLIC,
    allowed: true,
  },
  {
    title: 'the domain of a rule opens no other',
    policy: custom({ rules: [{ domain: 'api.example.com' }] }),
    name: 'example.com',
    address: PUBLIC,
    allowed: false,
  },
  {
    title: 'a star opens every name',
    policy: custom({ allow: ['*'] }),
    name: 'example.com',
    address: PUBLIC,
    allowed: true,
  },
  {
    title: 'a star opens no bare address',
    policy: custom({ allow: ['*'] }),
    name: null,
    address: PUBLIC,
    allowed: false,
  },
];
