/*
 * `agent userns PROGRAM ARGS…`, on the host: runs a program as root of a new user namespace whose ids the caller maps
 * (newuidmap) between the line `ready` on standard output and a byte on standard input. An ordinary user removes a
 * sandbox's files with it, which belong to their subordinate ids.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return HOST_FAILED;
}

int host_userns(int argc, char **argv) {
  char go;
  ssize_t got;
  if (argc < 3) {
    fprintf(stderr, "userns: no program\n");
    return HOST_USAGE;
  }
  if (unshare(CLONE_NEWUSER) != 0) return fail("unshare");
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return fail("write");
  do {
    got = read(STDIN_FILENO, &go, 1);
  } while (got < 0 && errno == EINTR);
  /* Without the byte the caller is gone or could not map: nothing may run half-mapped. */
  if (got != 1) return HOST_FAILED;
  /* Not allowed where one id alone is mapped; an ordinary user's groups then give what they gave before. */
  if (setgroups(0, NULL) != 0 && errno != EPERM) return fail("setgroups");
  if (setresgid(0, 0, 0) != 0) return fail("setresgid");
  if (setresuid(0, 0, 0) != 0) return fail("setresuid");
  execv(argv[2], argv + 2);
  return fail(argv[2]);
}
