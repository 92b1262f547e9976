/* PID 1's start: checks what it was given, hides itself, makes the layout, listens. */
#include "agent.h"
#include "egress/egress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define EXIT_USAGE 64
#define EXIT_START 70
#define AGENT_DIR_FD 3

struct agent agent = {.dir_fd = -1, .proc_fd = -1, .deadline_fd = -1};

static int start_failed(const char *what) {
  dprintf(STDERR_FILENO, "agent: %s: %s\n", what, strerror(errno));
  return EXIT_START;
}

static bool number(const char *text, uint64_t max, uint64_t *out) {
  if (text[0] < '0' || text[0] > '9') return false;
  char *end = NULL;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (errno != 0 || *end != 0 || value > max) return false;
  *out = value;
  return true;
}

/* No signal of the sandbox reaches PID 1, and none may end it: all are blocked, SIGCHLD is read from a signalfd. */
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

int init_main(int argc, char **argv) {
  uint64_t protocol = 0, deadline_ms = 0, uid = 0, gid = 0;
  bool wants_egress = argc == 7 && strcmp(argv[6], "egress") == 0;
  if ((argc != 6 && !wants_egress) || strcmp(argv[1], "init") != 0 || !number(argv[2], UINT32_MAX, &protocol) ||
      protocol != PROTOCOL || !number(argv[3], (uint64_t)1 << 40, &deadline_ms) ||
      !number(argv[4], UINT32_MAX - 1, &uid) || !number(argv[5], UINT32_MAX - 1, &gid)) {
    dprintf(STDERR_FILENO, "usage: agent init %d <deadline_ms> <uid> <gid> [egress]\n", PROTOCOL);
    return EXIT_USAGE;
  }
  int64_t deadline_at = clock_ms(CLOCK_BOOTTIME) + (int64_t)deadline_ms;
  /* Children keep it: nobody inside may trace one of them, nor reach a descriptor through /proc/<pid>/fd. */
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return start_failed("undumpable");
  if (getpid() != 1) {
    errno = EINVAL;
    return start_failed("not the first process of a pid namespace");
  }
  if (!block_signals()) return start_failed("signals");
  umask(022);
  agent.uid = (uid_t)uid;
  agent.gid = (gid_t)gid;
  agent.dir_fd = AGENT_DIR_FD;
  struct stat st;
  if (fstat(agent.dir_fd, &st) != 0) return start_failed("descriptor 3");
  if (!S_ISDIR(st.st_mode)) {
    errno = ENOTDIR;
    return start_failed("descriptor 3");
  }
  if (fcntl(agent.dir_fd, F_SETFD, FD_CLOEXEC) != 0) return start_failed("descriptor 3");
  /* A kernel without close_range is one whose runtime is trusted to have left nothing else open. */
  syscall(SYS_close_range, AGENT_DIR_FD + 1u, ~0u, 0u);
  agent.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (agent.proc_fd < 0) return start_failed("/proc");
  agent.deadline = mmap(NULL, sizeof *agent.deadline, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (agent.deadline == MAP_FAILED) return start_failed("mmap");
  agent.deadline->at_ms = deadline_at;
  int deadline_pipe[2];
  if (pipe2(deadline_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return start_failed("pipe");
  agent.deadline_fd = deadline_pipe[1];
  const char *failed = NULL;
  if (!make_layout(agent.uid, agent.gid, &failed)) return start_failed(failed);
  /* Without a way out the sandbox runs all the same, closed; PING tells. */
  if (wants_egress) agent.egress = egress_setup(&egress, &failed);
  if (wants_egress && !egress_give_up_admin()) return start_failed("capabilities");
  if (mkdirat(agent.dir_fd, "c", 0755) != 0 && errno != EEXIST) return start_failed("c");
  int listen_fd = listen_at(agent.dir_fd);
  if (listen_fd < 0) return start_failed("socket");
  if (!silence_streams()) return start_failed("/dev/null");
  accept_loop(listen_fd, deadline_pipe[0], deadline_at);
}
