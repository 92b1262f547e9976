/** Attempts with a single system call. */
import type { Attempt } from './attempt.ts';
import type { Layer } from './isolation-layers.ts';

const CALLS: readonly Layer[] = ['system calls'];
/** It also needs a capability in the sandbox's own namespaces. */
const CAPABLE: readonly Layer[] = ['system calls', 'capabilities'];
/** The kernel requires a capability of the host itself. */
const HOST: readonly Layer[] = ['system calls', 'capabilities', 'user namespace'];

function call(name: string, says = 'OK', more: Partial<Attempt> = {}): Attempt {
  return { name, refused: 'EPERM', control: { without: CALLS, says }, ...more };
}
function capable(name: string, says = 'OK', more: Partial<Attempt> = {}): Attempt {
  return { name, sudo: true, refused: 'EPERM', control: { without: CAPABLE, says }, ...more };
}
function host(name: string, says = 'OK', more: Partial<Attempt> = {}): Attempt {
  return { name, sudo: true, refused: 'EPERM', control: { without: HOST, says }, ...more };
}

/** Namespaces, mounts and roots. */
const NAMESPACES: readonly Attempt[] = [
  call('unshare_user'),
  call('clone_user'),
  // Reported as unknown instead of refused, so that C libraries fall back to clone, whose flags can be
  // checked.
  call('clone3_user', 'OK', { refused: 'ENOSYS' }),
  capable('unshare_mount'),
  capable('unshare_net'),
  capable('unshare_pid'),
  capable('unshare_time'),
  capable('setns'),
  capable('mount_tmpfs'),
  capable('mount_bind'),
  capable('remount_proc_sys'),
  capable('umount_mask'),
  // The new root is the old one, which is an error: the call got far enough to check that.
  capable('pivot_root', 'EINVAL'),
  capable('fsopen'),
  capable('open_tree'),
  capable('move_mount', 'ENOENT'),
  capable('mount_setattr'),
  {
    name: 'chroot',
    refused: 'EPERM',
    control: { onHost: 'an ordinary user has no capabilities to drop', says: 'OK' },
  },
];

/** Other processes' memory and files, keys, and parts of the kernel with a history of vulnerabilities. */
const SURFACE: readonly Attempt[] = [
  call('kcmp'),
  call('pidfd_getfd'),
  host('bpf'),
  host('perf_event_open'),
  call('userfaultfd'),
  call('io_uring'),
  call('keyctl'),
  call('add_key'),
  call('request_key', 'ENOKEY'),
  call('name_to_handle_at'),
  host('open_by_handle_at'),
  call('fanotify'),
  call('quotactl', 'OK', { orAbsent: ['ENOSYS'] }),
  call('personality'),
  call('mbind'),
  call('move_pages'),
  call('memfd_secret', 'OK', { orAbsent: ['ENOSYS'] }),
];

/** The machine itself. Arguments are wrong on purpose if the call would do harm. */
const MACHINE: readonly Attempt[] = [
  host('swapon', 'ENOENT'),
  host('swapoff', 'ENOENT'),
  host('reboot', 'EINVAL'),
  host('kexec_load', 'EINVAL', { orAbsent: ['ENOSYS', 'EPERM'] }),
  host('init_module', 'ENOEXEC', { orAbsent: ['EFAULT', 'ENOSYS'] }),
  host('finit_module', 'EBADF', { orAbsent: ['ENOSYS'] }),
  host('delete_module', 'ENOENT', { orAbsent: ['ENOSYS'] }),
  host('syslog'),
  host('acct', 'ENOENT'),
  call('settimeofday', 'EINVAL'),
  call('clock_settime', 'EFAULT'),
  call('adjtimex'),
  capable('sethostname'),
  capable('setdomainname'),
  host('iopl', 'OK', { only: 'x64', orAbsent: ['ENOSYS'] }),
  host('ioperm', 'OK', { only: 'x64', orAbsent: ['ENOSYS'] }),
  call('modify_ldt', 'OK', { only: 'x64', orAbsent: ['ENOSYS'] }),
  call('old_call', 'OK', {
    only: 'x64',
    refused: 'SIGSYS',
    orAbsent: ['ENOSYS', 'SIGSEGV'],
    // The interrupt of 32-bit calls reaches the filter only if the machine has that interrupt.
    beforeLayer: 'SIGSEGV',
  }),
  call('x32_call', 'OK', { only: 'x64', refused: 'SIGSYS', orAbsent: ['ENOSYS'] }),
  // With capabilities of the host: newer kernels refuse everybody else anyway.
  host('type_for_others'),
  host('type_high_bits'),
  call('paste_for_others', 'ENOTTY'),
  call('line_discipline'),
];

/** Kinds of sockets. The kernel reports an error if it lacks the module. */
const NOT_BUILT = ['EAFNOSUPPORT', 'EPROTONOSUPPORT', 'ESOCKTNOSUPPORT'];
const socket = (name: string) => call(name, 'OK', { orAbsent: NOT_BUILT });
/**
 * Refused as by a kernel without them, which programs expect; the control opens them, which distinguishes the
 * two.
 */
const netlink = (name: string): Attempt => ({ ...socket(name), refused: 'EPROTONOSUPPORT' });
const SOCKETS: readonly Attempt[] = [
  socket('vsock'),
  capable('packet_socket', 'OK', { orAbsent: NOT_BUILT }),
  capable('family_high_bits', 'OK', { orAbsent: NOT_BUILT }),
  capable('raw_socket'),
  capable('raw6_socket', 'OK', { orAbsent: NOT_BUILT }),
  capable('key_socket', 'OK', { orAbsent: NOT_BUILT }),
  capable('xdp_socket', 'OK', { orAbsent: NOT_BUILT }),
  capable('bluetooth_socket', 'OK', { orAbsent: NOT_BUILT }),
  socket('alg_socket'),
  socket('can_socket'),
  socket('tipc_socket'),
  socket('sctp_socket'),
  socket('dccp_socket'),
  socket('l2tp_socket'),
  socket('udplite_socket'),
  netlink('netlink_audit'),
  netlink('netlink_xfrm'),
  netlink('netlink_uevent'),
  netlink('netlink_generic'),
  netlink('netlink_diag'),
];

export const CALL_ATTEMPTS: readonly Attempt[] = [...NAMESPACES, ...SURFACE, ...MACHINE, ...SOCKETS];
