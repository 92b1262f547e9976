/*
 * `agent relay [UID GID COUNTED_AS]`, on the host: a child of the server, one for each sandbox. Descriptors: 3 control,
 * 4 the agent directory, 5 the directory of the server's socket `streams`. If the server is root, the relay runs as the
 * sandbox's own root; what the kernel counts by user counts against another id, which no other sandbox uses up. It has
 * no capabilities and ends with the server.
 */
#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#define DESCRIPTORS 4096
/* What a sandbox does on its network comes after the server's answers (nice(2)). */
#define NICENESS 5

/* No processes, files or core dumps; two descriptors per connection and a few more, as far as the hard limit allows. */
static void set_limits(void) {
  const struct rlimit none = {0, 0};
  const int denied[] = {RLIMIT_NPROC, RLIMIT_FSIZE, RLIMIT_CORE};
  for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++) setrlimit(denied[i], &none);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= DESCRIPTORS) return;
  files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
  setrlimit(RLIMIT_NOFILE, &files);
}

static bool drop_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct none[2] = {{0}, {0}};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, none) == 0;
}

/* From root to the ids of the arguments. */
static bool become(char **ids) {
  unsigned id[3];
  for (size_t i = 0; i < 3; i++)
    if (sscanf(ids[i], "%u", &id[i]) != 1 || id[i] == 0) return false;
  return setgroups(0, NULL) == 0 && setresgid(id[1], id[1], id[1]) == 0 && setresuid(id[2], id[0], id[0]) == 0;
}

static int fail(const char *what) {
  fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

int relay_main(int argc, char **argv) {
  if (argc != 2 && argc != 5) return EX_USAGE;
  pid_t parent = getppid();
  /* First, since it resets the signal of the parent's death and the flag for dumps. */
  if (argc == 5 && !become(argv + 2)) return fail("ids");
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) return EX_SOFTWARE;
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail("undumpable");
  if (!drop_capabilities()) return fail("capabilities");
  signal(SIGPIPE, SIG_IGN);
  umask(022);
  for (int fd = CONTROL_FD; fd <= STREAM_DIR_FD; fd++) {
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return fail("descriptors");
  }
  syscall(SYS_close_range, STREAM_DIR_FD + 1u, ~0u, 0u);
  set_limits();
  (void)!nice(NICENESS);
  if (!loop_open()) return fail("epoll");
  if (!control_open()) return fail("control");
  for (;;) {
    loop_turn(notify_timeout());
    control_turn_end();
    connections_turn_end();
  }
}
