/** Seccomp rules that check a call's arguments. */

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

/** Matches if the 64-bit argument equals `value`. */
function is(index: number, value: number): SeccompArgument {
  return { index, value, op: 'SCMP_CMP_EQ' };
}

/** Matches if the argument's bits under `mask` equal `value`. */
function masked(index: number, mask: number, value: number): SeccompArgument {
  return { index, value: mask, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' };
}

function allow(name: string, ...args: SeccompArgument[]): SeccompRule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args };
}

const AF_UNIX = 1;
const AF_NETLINK = 16;
/** IPv4 and IPv6. AF_VSOCK is not namespaced: it would reach the host's hypervisor. */
const INTERNET_FAMILIES = [2, 10];
/** socket(2): the bits of the socket type; the others are flags such as SOCK_CLOEXEC. */
const SOCKET_TYPE_MASK = 0xf;
const STREAM = 1;
const DATAGRAM = 2;
/** Protocols by type. Others would load kernel modules that nothing here needs (SCTP, DCCP, L2TP, SMC). */
const INTERNET_PROTOCOLS: [type: number, protocols: number[]][] = [
  [STREAM, [0, 6 /* TCP */, 262 /* MPTCP */]],
  [DATAGRAM, [0, 17 /* UDP */, 1 /* ICMP */, 58 /* ICMPv6 */]],
];
/** NETLINK_ROUTE for all programs; NETLINK_NETFILTER, which only the agent may use while it starts. */
const NETLINK_PROTOCOLS = [0, 12];
/** One past the highest protocol (netlink(7), `linux/netlink.h`). */
const NETLINK_END = 23;
/**
 * The error of a kernel without the protocol: on it programs such as useradd continue without auditing; on
 * others they abort.
 */
const EPROTONOSUPPORT = 93;

function netlinkRule(protocol: number): SeccompRule {
  const args = [is(0, AF_NETLINK), is(2, protocol)];
  return NETLINK_PROTOCOLS.includes(protocol)
    ? { names: ['socket'], action: 'SCMP_ACT_ALLOW', args }
    : { names: ['socket'], action: 'SCMP_ACT_ERRNO', errnoRet: EPROTONOSUPPORT, args };
}

/** Rules for socket(2) and socketpair(2). */
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

/** PER_LINUX, UNAME26, PER_LINUX32, both combined, and the query; as other container runtimes allow. */
const PERSONALITIES = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/** Refuses personalities that weaken address space layout randomization. */
export function personalityRules(): SeccompRule[] {
  return PERSONALITIES.map((personality) => allow('personality', is(0, personality)));
}

/**
 * A process reads the limits of any process, and sets its own. Root inside shares its ids with PID 1, and
 * could take away that one's descriptors.
 */
export function prlimitRules(): SeccompRule[] {
  const [own, noNewLimit] = [is(0, 0), is(2, 0)];
  return [allow('prlimit64', own), allow('prlimit64', noNewLimit)];
}

/**
 * TIOCSTI and TIOCLINUX inject terminal input (CVE-2017-5226, CVE-2023-28100); TIOCSETD loads line discipline
 * modules.
 */
const REFUSED_IOCTLS = [0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */, 0x5423 /* TIOCSETD */];

/**
 * Allows every ioctl request but the refused ones. The kernel only reads the lower 32 bits, so the rules do
 * too (CVE-2019-10063).
 */
export function ioctlRules(): SeccompRule[] {
  return prefixesOfOthers(REFUSED_IOCTLS).map(({ mask, value }) => allow('ioctl', masked(1, mask, value)));
}

/**
 * All 32-bit numbers except these, as prefixes: an allow list can only match equality, so each rule matches
 * some upper bits.
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
