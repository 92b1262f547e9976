/* PID 1's start: checks its arguments, makes itself undumpable, creates the layout, listens. */
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "egress/egress.h"
#include "process/process.h"

#define AGENT_DIR_FD 3
#define OWNER_FD 4

static int start_failed(const char *what) {
  dprintf(STDERR_FILENO, "agent: %s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out) {
  if (text[0] < '0' || text[0] > '9') return false;
  char *end = NULL;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (errno != 0 || *end != 0 || value > max) return false;
  *out = value;
  return true;
}

/* No signal may interrupt or end PID 1: all are blocked, and SIGCHLD is read from a signalfd. */
static bool block_signals(void) {
  sigset_t all;
  sigfillset(&all);
  return sigprocmask(SIG_SETMASK, &all, NULL) == 0;
}

static bool silence_streams(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return false;
  for (int fd = 0; fd <= 2; fd++) {
    if (null != fd && dup2(null, fd) < 0) return false;
  }
  if (null > 2) close(null);
  return true;
}

struct options {
  bool egress;
  bool owner;
  uint64_t cpus;
};

static bool parse_options(char **words, struct options *wanted) {
  static const char cpus[] = "cpus=";
  for (; *words != NULL; words++) {
    if (strcmp(*words, "egress") == 0)
      wanted->egress = true;
    else if (strcmp(*words, "owner") == 0)
      wanted->owner = true;
    else if (strncmp(*words, cpus, strlen(cpus)) == 0 && parse_number(*words + strlen(cpus), UINT16_MAX, &wanted->cpus))
      continue;
    else
      return false;
  }
  return true;
}

int init_main(int argc, char **argv) {
  uint64_t protocol = 0, deadline_ms = 0, uid = 0, gid = 0;
  struct options wanted = {0};
  if (argc < 6 || !parse_options(argv + 6, &wanted) || strcmp(argv[1], "init") != 0 ||
      !parse_number(argv[2], UINT32_MAX, &protocol) || protocol != PROTOCOL_VERSION ||
      !parse_number(argv[3], DURATION_MAX, &deadline_ms) || !parse_number(argv[4], UINT32_MAX - 1, &uid) ||
      !parse_number(argv[5], UINT32_MAX - 1, &gid)) {
    dprintf(STDERR_FILENO, "usage: agent init %d <deadline_ms> <uid> <gid> [egress] [owner] [cpus=<count>]\n",
            PROTOCOL_VERSION);
    return EX_USAGE;
  }
  int64_t deadline_at = clock_ms(CLOCK_BOOTTIME) + (int64_t)deadline_ms;
  /* Inherited by children: programs inside can neither trace one nor reach its descriptors through /proc/<pid>/fd. */
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return start_failed("undumpable");
  if (getpid() != 1) {
    errno = EINVAL;
    return start_failed("not the first process of a pid namespace");
  }
  if (!block_signals()) return start_failed("signals");
  umask(022);
  agent.uid = (uid_t)uid;
  agent.gid = (gid_t)gid;
  agent.cpus = (unsigned)wanted.cpus;
  agent.dir_fd = AGENT_DIR_FD;
  struct stat st;
  if (fstat(agent.dir_fd, &st) != 0) return start_failed("descriptor 3");
  if (!S_ISDIR(st.st_mode)) {
    errno = ENOTDIR;
    return start_failed("descriptor 3");
  }
  if (fcntl(agent.dir_fd, F_SETFD, FD_CLOEXEC) != 0) return start_failed("descriptor 3");
  /* On kernels without close_range, the runtime is trusted to have left nothing else open. */
  syscall(SYS_close_range, (wanted.owner ? OWNER_FD : AGENT_DIR_FD) + 1u, ~0u, 0u);
  agent.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (agent.proc_fd < 0) return start_failed("/proc");
  const char *failed = NULL;
  if (!deadline_open(deadline_at, &failed)) return start_failed(failed);
  if (!create_layout(agent.uid, agent.gid, &failed)) return start_failed(failed);
  /* A failure leaves the sandbox without network, which PING reports. */
  if (wanted.egress) egress.enabled = egress_setup(&egress, &failed);
  if (wanted.egress && !drop_net_admin()) return start_failed("capabilities");
  if (mkdirat(agent.dir_fd, "c", 0755) != 0 && errno != EEXIST) return start_failed("c");
  if (wanted.owner) {
    int owners_fd = listen_at(agent.dir_fd, OWNERS_SOCKET);
    if (owners_fd < 0 || !owners_open(OWNER_FD, owners_fd)) return start_failed("owners");
  }
  /* The last one: once it exists, everything else does. */
  int listen_fd = listen_at(agent.dir_fd, "socket");
  if (listen_fd < 0) return start_failed("socket");
  if (!silence_streams()) return start_failed("/dev/null");
  event_loop(listen_fd, deadline_at);
}
