/** Attempts to reach addresses that only the operator can allow. The control: the same policy, allowed. */
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import { ALL } from './attempts.ts';

export interface ClosedAttempt {
  readonly title: string;
  readonly script: string;
  readonly reached: RegExp;
  readonly policy: NetworkPolicy;
}

const custom = (policy: Omit<NetworkPolicy, 'mode'>): NetworkPolicy => ({ mode: 'custom', ...policy });
const INNER = /^(http|tls|tcp) inner/;

export const CLOSED_ATTEMPTS: readonly ClosedAttempt[] = [
  {
    title: 'an allowed name that leads inside',
    script: `curl('http://inner.test/')`,
    reached: INNER,
    policy: custom({ allow: ['inner.test'] }),
  },
  {
    title: 'an allowed name that leads inside, over HTTPS',
    script: `curl('https://inner.test/')`,
    reached: INNER,
    policy: custom({ allow: ['inner.test'] }),
  },
  {
    title: 'a private address under allow-all',
    script: `tell(INNER, 7777, b'x')`,
    reached: INNER,
    policy: ALL,
  },
  {
    title: 'a name with a private address under allow-all',
    script: `curl('http://inner.test/')`,
    reached: INNER,
    policy: ALL,
  },
  {
    title: 'a subnet rule for private addresses',
    script: `tell(INNER, 80, get(b'x'))`,
    reached: INNER,
    policy: custom({ subnets: { allow: ['10.0.0.0/8'] } }),
  },
  {
    title: 'a subnet rule for all',
    script: `tell(INNER, 80, get(b'x'))`,
    reached: INNER,
    policy: custom({ subnets: { allow: ['0.0.0.0/0', '::/0'] } }),
  },
  {
    title: 'a private address in IPv6',
    script: `tell('::ffff:' + INNER, 80, get(b'x'), family=socket.AF_INET6)`,
    reached: INNER,
    policy: ALL,
  },
  {
    title: 'a private address as a number',
    script: `curl('http://%d/' % struct.unpack('>I', socket.inet_aton(INNER)))`,
    reached: INNER,
    policy: ALL,
  },
  {
    title: 'a private address in hexadecimal',
    script: `curl('http://0x%x/' % struct.unpack('>I', socket.inet_aton(INNER)))`,
    reached: INNER,
    policy: ALL,
  },
  {
    title: 'a Host that leads inside',
    script: `tell(GOOD, 80, get(b'inner.test'))`,
    reached: INNER,
    policy: custom({ allow: ['inner.test'] }),
  },
  {
    title: 'a server name that leads inside',
    script: `tls(GOOD, 443, 'inner.test')`,
    reached: INNER,
    policy: custom({ allow: ['inner.test'] }),
  },
  {
    title: 'a name that resolves differently the second time',
    script: `socket.gethostbyname('rebindNAME.test'); time.sleep(5.5); tell(GOOD, 80, get(b'rebindNAME.test'))`,
    reached: INNER,
    policy: custom({ allow: ['*.test', 'rebindNAME.test'] }),
  },
  {
    title: 'the address of metadata services',
    script: `tell(META, 80, get(b'x'))`,
    reached: /^http meta/,
    policy: ALL,
  },
  {
    title: 'a name that leads to metadata services',
    script: `tell(GOOD, 80, get(b'meta.test'))`,
    reached: /^http meta/,
    policy: custom({ allow: ['meta.test'] }),
  },
  {
    title: "this host's loopback through 0.0.0.0",
    script: `tell(GOOD, HOST_PORT, get(b'zero.test'))`,
    reached: /^host/,
    policy: custom({ allow: ['zero.test'] }),
  },
  {
    title: "this host's loopback through a Host header",
    script: `tell(GOOD, HOST_PORT, get(b'loop.test'))`,
    reached: /^host/,
    policy: custom({ allow: ['loop.test'] }),
  },
];
