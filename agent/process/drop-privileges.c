/* Drops the agent's privileges for good: before executing a program, and before touching files. */
#include "process/process.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_dropped(unsigned long cap, bool keep) {
  /* With CAP_SYS_PTRACE a sudo command could trace the agent; CAP_SETPCAP is not needed after this. */
  return !keep || cap == CAP_SYS_PTRACE || cap == CAP_SETPCAP;
}

static bool drop_bounding_set(bool keep) {
  for (unsigned long cap = 0; cap < 64; cap++) {
    int held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (held < 0) break; /* past the last capability of this kernel */
    if (held == 0 || !is_dropped(cap, keep)) continue;
    /* Without CAP_SETPCAP the bounding set is unchanged. That is safe: the permitted set loses the same capabilities,
       and no_new_privs keeps exec from adding them. */
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EPERM) return false;
  }
  return true;
}

static bool set_capabilities(bool keep) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2] = {{0}, {0}};
  if (keep) {
    if (syscall(SYS_capget, &header, data) != 0) return false;
    for (unsigned cap = 0; cap < 64; cap++) {
      if (!is_dropped(cap, keep)) continue;
      data[cap / 32].permitted &= ~(1u << cap % 32);
      data[cap / 32].effective &= ~(1u << cap % 32);
    }
    data[0].inheritable = data[1].inheritable = 0;
  }
  return syscall(SYS_capset, &header, data) == 0;
}

/* The kernel counts what a process takes, such as descriptors in flight, against its real user. */
static bool set_user(uid_t counted_as, uid_t uid) {
  if (setresuid(counted_as, uid, uid) == 0) return true;
  /* An ordinary user may have few ids. */
  return errno == EINVAL && setresuid(uid, uid, uid) == 0;
}

bool drop_privileges_as(uid_t counted_as, uid_t uid, gid_t gid, bool keep_capabilities, const char **failed) {
  *failed = "no_new_privs";
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  *failed = "bounding_set";
  if (!drop_bounding_set(keep_capabilities)) return false;
  *failed = "ambient";
  /* EINVAL: this kernel has no ambient capabilities. */
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) return false;
  *failed = "setgroups";
  /* If only one id is mapped, the ordinary user is 0 and the kernel denies setgroups to everybody. */
  if (setgroups(1, &gid) != 0 && !(errno == EPERM && agent.uid == 0)) return false;
  *failed = "setresgid";
  if (setresgid(gid, gid, gid) != 0) return false;
  *failed = "setresuid";
  if (!set_user(counted_as, uid)) return false;
  *failed = "capset";
  if (!set_capabilities(keep_capabilities)) return false;
  *failed = "undumpable";
  /* Changing the uid resets the flag to fs.suid_dumpable, which the host may have relaxed. */
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

bool drop_privileges(uid_t uid, gid_t gid, bool keep_capabilities, const char **failed) {
  return drop_privileges_as(uid, uid, gid, keep_capabilities, failed);
}
