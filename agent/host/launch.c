/*
 * `agent launch [OPTION…] PROGRAM ARGS…`, on the host: runs the OCI runtime, and sees to it that nothing of an
 * unfinished start goes on. Runtimes fork and leave their session on the way; this process is the subreaper of all of
 * that. Asked to end (SIGTERM), by the server or by the kernel when the server has died, it kills whatever the runtime
 * has started so far. Once the runtime has ended well, the container is left to itself.
 *
 *   --hide-unified           hides the unified cgroup hierarchy of a hybrid host
 *   --ids BASE SIZE          the sandbox's ids on the host, for --map
 *   --map SOURCE TARGET      a directory of the host at TARGET, read-only, its owners in the sandbox's ids
 *   --overlay TARGET LAYERS  an overlay of these directories; relative paths start at the working directory
 *
 * Options are obeyed in their order, and what they mount is seen by the runtime and its container alone.
 */
#include "agent.h"
#include "host/host.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define ROUND_NS 1000000

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return HOST_FAILED;
}

/* crun refuses hybrid cgroups; without this mount it sees version 1 alone. */
static int hide_unified(void) {
  if (umount2("/sys/fs/cgroup/unified", MNT_DETACH) != 0) return fail("hide the unified cgroup");
  return 0;
}

/* Obeys the options; answers where the program is, or 0 after a failure. */
static int obey_options(int argc, char **argv) {
  int at = 2, failed = 0, userns_fd = -1;
  if (at < argc && strncmp(argv[at], "--", 2) == 0 && private_mounts() != 0) return 0;
  for (; failed == 0 && at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
    if (strcmp(argv[at], "--hide-unified") == 0) {
      failed = hide_unified();
    } else if (argc - at > 2 && strcmp(argv[at], "--ids") == 0) {
      userns_fd = sandbox_userns(argv[at + 1], argv[at + 2]);
      if (userns_fd < 0) failed = fail("user namespace");
      at += 2;
    } else if (argc - at > 2 && strcmp(argv[at], "--map") == 0) {
      failed = map_directory(userns_fd, argv[at + 1], argv[at + 2]);
      at += 2;
    } else if (argc - at > 2 && strcmp(argv[at], "--overlay") == 0) {
      failed = mount_overlay(argv[at + 1], argv[at + 2]);
      at += 2;
    } else {
      fprintf(stderr, "launch: %s is not understood\n", argv[at]);
      failed = HOST_USAGE;
    }
  }
  if (userns_fd >= 0) close(userns_fd);
  return failed == 0 ? at : 0;
}

static bool any_child_left(void) {
  for (;;) {
    pid_t pid = waitpid(-1, NULL, WNOHANG);
    if (pid == 0) return true;
    if (pid < 0 && errno != EINTR) return false;
  }
}

/* What a kill misses (a process on its way through a fork, a setuid helper that may not be signalled) is met again. */
static void end_descendants(void) {
  const struct timespec pause = {.tv_nsec = ROUND_NS};
  while (any_child_left()) {
    tree_kill_round(getpid(), NULL);
    nanosleep(&pause, NULL);
  }
}

static int follow(pid_t runtime, const sigset_t *watched) {
  for (;;) {
    int sig = sigwaitinfo(watched, NULL);
    if (sig == SIGTERM) {
      end_descendants();
      return 128 + SIGTERM;
    }
    int status = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
      if (pid != runtime) continue;
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
      end_descendants();
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
  }
}

int host_launch(int argc, char **argv) {
  pid_t parent = getppid();
  sigset_t watched, before;
  sigemptyset(&watched);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGCHLD);
  /* Blocked before the kernel may send it: a signal that ends this process would leave the runtime alone. */
  if (sigprocmask(SIG_BLOCK, &watched, &before) != 0) return fail("sigprocmask");
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return fail("subreaper");
  if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return fail("prctl");
  /* The parent may have gone before the kernel was told to watch it. */
  if (getppid() != parent) return HOST_FAILED;
  int at = obey_options(argc, argv);
  if (at == 0) return HOST_FAILED;
  if (at >= argc) {
    fprintf(stderr, "launch: no program\n");
    return HOST_USAGE;
  }
  agent.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (agent.proc_fd < 0) return fail("/proc");
  pid_t runtime = fork();
  if (runtime < 0) return fail("fork");
  if (runtime == 0) {
    sigprocmask(SIG_SETMASK, &before, NULL);
    execv(argv[at], argv + at);
    _exit(fail(argv[at]));
  }
  return follow(runtime, &watched);
}
