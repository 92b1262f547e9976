/*
 * `agent userns PROGRAM ARGS…`, on the host: runs a program as root of a new user namespace. It prints `ready`, waits
 * until the caller has mapped the ids (newuidmap) and written a byte to standard input, then executes the program. An
 * ordinary user needs it to remove a sandbox's files, which belong to subordinate ids.
 */
#include "host/host.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

int host_userns(int argc, char **argv) {
  char go;
  ssize_t got;
  if (argc < 3) {
    fprintf(stderr, "userns: no program\n");
    return EX_USAGE;
  }
  if (unshare(CLONE_NEWUSER) != 0) return fail("unshare");
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return fail("write");
  do {
    got = read(STDIN_FILENO, &go, 1);
  } while (got < 0 && errno == EINTR);
  /* Without the byte the caller has died or could not map the ids, so nothing may run. */
  if (got != 1) return EX_SOFTWARE;
  /* Denied if only one id is mapped; the ordinary user's groups then remain, which grant nothing more. */
  if (setgroups(0, NULL) != 0 && errno != EPERM) return fail("setgroups");
  if (setresgid(0, 0, 0) != 0) return fail("setresgid");
  if (setresuid(0, 0, 0) != 0) return fail("setresuid");
  execv(argv[2], argv + 2);
  return fail(argv[2]);
}
