/* Gives up the agent's privileges for good: before a command's program, and before files are touched. */
#include "agent.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static bool is_dropped(unsigned long cap, bool keep) {
  /* With CAP_SYS_PTRACE a sudo command could trace the agent; CAP_SETPCAP serves nobody after this. */
  return !keep || cap == CAP_SYS_PTRACE || cap == CAP_SETPCAP;
}

static bool bound(bool keep) {
  for (unsigned long cap = 0; cap < 64; cap++) {
    int held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (held < 0) break; /* past the last capability of this kernel */
    if (held == 0 || !is_dropped(cap, keep)) continue;
    /* Without CAP_SETPCAP the set stays. Nothing is gained by it: the permitted set loses the same capabilities,
       and no_new_privs keeps exec from filling it. */
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

bool drop_privileges(uid_t uid, gid_t gid, bool keep_capabilities, const char **failed) {
  *failed = "no_new_privs";
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  *failed = "bounding_set";
  if (!bound(keep_capabilities)) return false;
  *failed = "ambient";
  /* EINVAL: a kernel without ambient capabilities. */
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) return false;
  *failed = "setgroups";
  /* Where one id alone is mapped, the ordinary user is 0 and the kernel denies setgroups to all. */
  if (setgroups(1, &gid) != 0 && !(errno == EPERM && agent.uid == 0)) return false;
  *failed = "setresgid";
  if (setresgid(gid, gid, gid) != 0) return false;
  *failed = "setresuid";
  if (setresuid(uid, uid, uid) != 0) return false;
  *failed = "capset";
  if (!set_capabilities(keep_capabilities)) return false;
  *failed = "undumpable";
  /* A change of uid sets what fs.suid_dumpable says, which a host may have opened. */
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}
