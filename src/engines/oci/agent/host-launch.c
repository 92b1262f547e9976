/*
 * `agent launch [--hide-unified] PROGRAM ARGS…`, on the host: runs the OCI runtime so that it dies with the server.
 * A server that is killed in the middle of a create then leaves no runtime that goes on to make a container.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "host.h"

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return HOST_FAILED;
}

/* crun refuses hybrid cgroups; in a mount namespace of its own it sees version 1 alone. */
static int hide_unified(void) {
  if (unshare(CLONE_NEWNS) != 0) return fail("unshare");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return fail("make mounts private");
  if (umount2("/sys/fs/cgroup/unified", MNT_DETACH) != 0) return fail("hide the unified cgroup");
  return 0;
}

int host_launch(int argc, char **argv) {
  int at = 2;
  pid_t parent = getppid();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail("prctl");
  /* The parent may have gone before the kernel was told to watch it. */
  if (getppid() != parent) return HOST_FAILED;
  if (at < argc && strcmp(argv[at], "--hide-unified") == 0) {
    int failed = hide_unified();
    if (failed != 0) return failed;
    at++;
  }
  if (at >= argc) {
    fprintf(stderr, "launch: no program\n");
    return HOST_USAGE;
  }
  execv(argv[at], argv + at);
  return fail(argv[at]);
}
