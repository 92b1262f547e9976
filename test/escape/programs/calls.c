/*
 * System calls. If success would harm the machine, the arguments are wrong on purpose: the error then shows that the
 * call reached the kernel's own code.
 */
#include "attempt.h"

#include <linux/bpf.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static long reaped(long pid) {
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid;
}

static long clone3_user(void) {
  uint64_t args[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
  return reaped(syscall(SYS_clone3, args, sizeof args));
}

static long set_namespace(void) {
  int fd = open("/proc/self/ns/uts", O_RDONLY);
  return fd < 0 ? -1 : syscall(SYS_setns, fd, 0);
}

static long masked_umount(void) { return umount2("/proc/keys", MNT_DETACH); }

static long trace_child(void) {
  pid_t pid = fork();
  if (pid == 0) pause();
  long result = ptrace(PTRACE_SEIZE, pid, NULL, NULL);
  int error = errno;
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  errno = error;
  return result;
}

static long vm(long number) {
  char from[4] = "abc", to[4] = "";
  struct iovec local = {to, sizeof to}, remote = {from, sizeof from};
  return syscall(number, getpid(), &local, 1ul, &remote, 1ul, 0ul);
}

static long take_descriptor(void) {
  int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
  return pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}

static long bpf_map(void) {
  union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);
}

static long perf(void) {
  struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_CPU_CLOCK};
  return syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0ul);
}

static long io_uring(void) {
  uint32_t params[30] = {0};
  return syscall(SYS_io_uring_setup, 1, params);
}

static long by_handle(const char *path) {
  struct {
    struct file_handle head;
    unsigned char room[128];
  } h = {.head = {.handle_bytes = 128}};
  int mount_id = 0, at = open(path, O_RDONLY | O_DIRECTORY);
  /* This may be refused as well, which makes the handle useless: what counts is what refuses the next call. */
  (void)syscall(SYS_name_to_handle_at, AT_FDCWD, path, &h, &mount_id, 0);
  return syscall(SYS_open_by_handle_at, at, &h, O_RDONLY);
}

static long name_handle(void) {
  struct file_handle h = {.handle_bytes = 0};
  int mount_id = 0;
  long result = syscall(SYS_name_to_handle_at, AT_FDCWD, "/tmp", &h, &mount_id, 0);
  /* The required size was returned: the call worked. */
  return result < 0 && errno == EOVERFLOW ? 0 : result;
}

static long wrong_time(void) {
  struct timeval when = {.tv_sec = 1, .tv_usec = 2000000};
  return syscall(SYS_settimeofday, &when, NULL);
}

static long read_clock(void) {
  struct timex t = {0};
  return adjtimex(&t);
}

static long realtime(void) {
  struct sched_param p = {.sched_priority = 1};
  return sched_setscheduler(0, SCHED_FIFO, &p);
}

static long more_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
  limit.rlim_max = limit.rlim_cur = limit.rlim_max + 1;
  return setrlimit(RLIMIT_NOFILE, &limit);
}

static long set_attributes(void) {
  uint64_t attributes[4] = {0x1 /* MOUNT_ATTR_RDONLY */};
  return syscall(SYS_mount_setattr, AT_FDCWD, "/tmp", 0, attributes, sizeof attributes);
}

#define CALLS(X) \
  X(unshare_user, syscall(SYS_unshare, CLONE_NEWUSER)) \
  X(unshare_mount, syscall(SYS_unshare, CLONE_NEWNS)) \
  X(unshare_net, syscall(SYS_unshare, CLONE_NEWNET)) \
  X(unshare_pid, syscall(SYS_unshare, CLONE_NEWPID)) \
  X(unshare_time, syscall(SYS_unshare, CLONE_NEWTIME)) \
  X(clone_user, reaped(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0))) \
  X(clone3_user, clone3_user()) \
  X(setns, set_namespace()) \
  X(mount_tmpfs, mount("none", "/tmp", "tmpfs", 0, NULL)) \
  X(mount_bind, mount("/usr", "/tmp", NULL, MS_BIND, NULL)) \
  X(mount_proc, mount("proc", "/tmp", "proc", 0, NULL)) \
  X(remount_proc_sys, mount(NULL, "/proc/sys", NULL, MS_BIND | MS_REMOUNT, NULL)) \
  X(umount_mask, masked_umount()) \
  X(pivot_root, syscall(SYS_pivot_root, "/", "/")) \
  X(fsopen, syscall(SYS_fsopen, "tmpfs", 0)) \
  X(open_tree, syscall(SYS_open_tree, AT_FDCWD, "/usr", 1 /* OPEN_TREE_CLONE */)) \
  X(move_mount, syscall(SYS_move_mount, -1, "", -1, "", 4 /* MOVE_MOUNT_F_EMPTY_PATH */)) \
  X(mount_setattr, set_attributes()) \
  X(chroot, chroot("/tmp")) \
  X(ptrace_child, trace_child()) \
  X(process_vm_readv, vm(SYS_process_vm_readv)) \
  X(process_vm_writev, vm(SYS_process_vm_writev)) \
  X(kcmp, syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0)) \
  X(pidfd_getfd, take_descriptor()) \
  X(bpf, bpf_map()) \
  X(perf_event_open, perf()) \
  X(userfaultfd, syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */)) \
  X(io_uring, io_uring()) \
  X(keyctl, syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -2, 1)) \
  X(add_key, syscall(SYS_add_key, "user", "attempt", "x", 1ul, -2)) \
  X(request_key, syscall(SYS_request_key, "user", "nowhere", NULL, 0)) \
  X(open_by_handle_at, by_handle("/tmp")) \
  X(name_to_handle_at, name_handle()) \
  X(fanotify, syscall(SYS_fanotify_init, 0x200 /* FAN_REPORT_FID */, 0)) \
  X(quotactl, syscall(SYS_quotactl, 0x80000100 /* Q_SYNC */, NULL, 0, NULL)) \
  X(swapon, syscall(SYS_swapon, "/nowhere", 0)) \
  X(swapoff, syscall(SYS_swapoff, "/nowhere")) \
  X(reboot, syscall(SYS_reboot, 0, 0, 0, NULL)) \
  X(kexec_load, syscall(SYS_kexec_load, 0ul, 1ul, NULL, 0xfffful)) \
  X(init_module, syscall(SYS_init_module, NULL, 0ul, "")) \
  X(finit_module, syscall(SYS_finit_module, -1, "", 0)) \
  X(delete_module, syscall(SYS_delete_module, "nowhere", O_NONBLOCK)) \
  X(syslog, syscall(SYS_syslog, 10 /* SYSLOG_ACTION_SIZE_BUFFER */, NULL, 0)) \
  X(acct, syscall(SYS_acct, "/nowhere")) \
  X(settimeofday, wrong_time()) \
  X(clock_settime, syscall(SYS_clock_settime, 0, NULL)) \
  X(adjtimex, read_clock()) \
  X(sethostname, sethostname("taken", 5)) \
  X(setdomainname, setdomainname("taken", 5)) \
  X(personality, syscall(SYS_personality, 0x0440000ul /* READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE */)) \
  X(mbind, syscall(SYS_set_mempolicy, 0, NULL, 0ul)) \
  X(move_pages, syscall(SYS_move_pages, 0, 0ul, NULL, NULL, NULL, 0)) \
  X(memfd_secret, syscall(SYS_memfd_secret, 0)) \
  X(setuid_unmapped, syscall(SYS_setuid, 200000)) \
  X(realtime, realtime()) \
  X(priority, setpriority(PRIO_PROCESS, 0, -20)) \
  X(more_files, more_files())

CALLS(DEFINE)
const struct attempt call_attempts[] = {CALLS(LIST){NULL, NULL}};
