/** Addresses that no policy opens by itself, and how the operator does. */
import type { NetworkPolicy } from '../../src/engines/engine.ts';
import type { PolicyCase } from './policy-case.ts';

const custom = (policy: Omit<NetworkPolicy, 'mode'>): NetworkPolicy => ({ mode: 'custom', ...policy });
const all: NetworkPolicy = { mode: 'allow-all' };

const CLOSED = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '169.254.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '224.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::127.0.0.1',
  '::ffff:10.0.0.1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  'fc00::1',
  'fd12::1',
  'fe80::1',
  'ff02::1',
];

export const CLOSED_CASES: readonly PolicyCase[] = [
  ...CLOSED.map((address) => ({
    title: `allow-all refuses ${address}`,
    policy: all,
    name: null,
    address,
    allowed: false,
  })),
  ...CLOSED.map((address) => ({
    title: `a subnet rule does not open ${address}`,
    policy: custom({ subnets: { allow: ['0.0.0.0/0', '::/0'] } }),
    name: null,
    address,
    allowed: false,
  })),
  ...CLOSED.map((address) => ({
    title: `an allowed name does not open ${address}`,
    policy: custom({ allow: ['example.com'] }),
    name: 'example.com',
    address,
    allowed: false,
  })),
  {
    title: 'the operator opens a private range',
    policy: all,
    opened: ['10.0.0.0/8'],
    name: null,
    address: '10.0.0.1',
    allowed: true,
  },
  {
    title: 'the operator opens one port',
    policy: all,
    opened: ['127.0.0.1/32:5432'],
    name: null,
    address: '127.0.0.1',
    port: 5432,
    allowed: true,
  },
  {
    title: 'the operator opens no other port',
    policy: all,
    opened: ['127.0.0.1/32:5432'],
    name: null,
    address: '127.0.0.1',
    port: 22,
    allowed: false,
  },
  {
    title: 'an opened range needs the policy as well',
    policy: custom({ allow: ['example.com'] }),
    opened: ['10.0.0.0/8'],
    name: null,
    address: '10.0.0.1',
    allowed: false,
  },
  {
    title: 'an opened range with a subnet rule passes',
    policy: custom({ subnets: { allow: ['10.0.0.0/24'] } }),
    opened: ['10.0.0.0/8'],
    name: null,
    address: '10.0.0.1',
    allowed: true,
  },
  {
    title: 'an opened range with its name passes',
    policy: custom({ allow: ['db.internal'] }),
    opened: ['10.0.0.0/8'],
    name: 'db.internal',
    address: '10.0.0.1',
    allowed: true,
  },
];
