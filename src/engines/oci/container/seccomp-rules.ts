/** Rules of the filter that look at a call's arguments. */

export interface SeccompArgument {
  index: number;
  value: number;
  valueTwo?: number;
  op: string;
}

export interface SeccompRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: SeccompArgument[];
}

/** The argument, as 64 bits, is exactly this. */
function is(index: number, value: number): SeccompArgument {
  return { index, value, op: 'SCMP_CMP_EQ' };
}

/** The bits of `mask` in the argument are those of `value`. */
function masked(index: number, mask: number, value: number): SeccompArgument {
  return { index, value: mask, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' };
}

function allow(name: string, ...args: SeccompArgument[]): SeccompRule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args };
}

const AF_UNIX = 1;
const AF_NETLINK = 16;
/** IPv4 and IPv6. AF_VSOCK is not namespaced: through it the hypervisor of the host would answer. */
const INTERNET_FAMILIES = [2, 10];
/** socket(2): the kind; other bits of the argument say how the descriptor behaves. */
const SOCKET_TYPE_MASK = 0xf;
const STREAM = 1;
const DATAGRAM = 2;
/** By kind: the default, and what is said in full. Others load kernel modules that nothing here needs (SCTP, DCCP, L2TP, SMC). */
const INTERNET_PROTOCOLS: [type: number, protocols: number[]][] = [
  [STREAM, [0, 6 /* TCP */, 262 /* MPTCP */]],
  [DATAGRAM, [0, 17 /* UDP */, 1 /* ICMP */, 58 /* ICMPv6 */]],
];
/** Routes and interfaces for everybody; the packet filter, in which only the agent at its start may do anything. */
const NETLINK_PROTOCOLS = [0, 12];
/** One more than the last one (netlink(7), `linux/netlink.h`). */
const NETLINK_END = 23;
/** What a kernel answers that lacks a protocol: programs such as useradd go on without auditing then, and give up otherwise. */
const EPROTONOSUPPORT = 93;

function netlinkRule(protocol: number): SeccompRule {
  const args = [is(0, AF_NETLINK), is(2, protocol)];
  return NETLINK_PROTOCOLS.includes(protocol)
    ? { names: ['socket'], action: 'SCMP_ACT_ALLOW', args }
    : { names: ['socket'], action: 'SCMP_ACT_ERRNO', errnoRet: EPROTONOSUPPORT, args };
}

/** Which sockets there can be. */
export function socketRules(): SeccompRule[] {
  const internet = INTERNET_FAMILIES.flatMap((family) =>
    INTERNET_PROTOCOLS.flatMap(([type, protocols]) =>
      protocols.map((protocol) =>
        allow('socket', is(0, family), masked(1, SOCKET_TYPE_MASK, type), is(2, protocol)),
      ),
    ),
  );
  return [
    allow('socket', is(0, AF_UNIX)),
    allow('socketpair', is(0, AF_UNIX)),
    ...internet,
    ...Array.from({ length: NETLINK_END }, (_, protocol) => netlinkRule(protocol)),
  ];
}

/** PER_LINUX, UNAME26, PER_LINUX32, both, and the query, as container runtimes allow. */
const PERSONALITIES = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/** No personality weakens the layout of memory. */
export function personalityRules(): SeccompRule[] {
  return PERSONALITIES.map((personality) => allow('personality', is(0, personality)));
}

/** Typing into a terminal for somebody else (CVE-2017-5226, CVE-2023-28100), and line disciplines, whose modules load themselves. */
const REFUSED_IOCTLS = [0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */, 0x5423 /* TIOCSETD */];

/** Every request but the refused ones. The kernel looks at the lower 32 bits alone, so the rules do (CVE-2019-10063). */
export function ioctlRules(): SeccompRule[] {
  return prefixesOfOthers(REFUSED_IOCTLS).map(({ mask, value }) => allow('ioctl', masked(1, mask, value)));
}

/**
 * All 32-bit numbers but these, as prefixes: a filter of what is allowed can only say what a number is, so each rule
 * says of some upper bits what they are.
 */
export function prefixesOfOthers(values: readonly number[]): { mask: number; value: number }[] {
  const found: { mask: number; value: number }[] = [];
  const descend = (prefix: number, bits: number, among: readonly number[]): void => {
    const rest = 2 ** (32 - bits);
    if (among.length === 0) found.push({ mask: 2 ** 32 - rest, value: prefix });
    else if (bits < 32) {
      const half = prefix + rest / 2;
      descend(
        prefix,
        bits + 1,
        among.filter((value) => value < half),
      );
      descend(
        half,
        bits + 1,
        among.filter((value) => value >= half),
      );
    }
  };
  descend(0, 0, values);
  return found;
}
