#include "stand-ins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What must not happen for real: these stand in for init.c, drop.c, run.c, launch.c, supervise.c and tree-kill.c. */
struct agent agent = {.dir_fd = -1, .proc_fd = -1, .deadline_fd = -1};
unsigned commands, kills;

_Noreturn void die(const char *what) {
  fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
  abort();
}

bool drop_privileges(uid_t uid, gid_t gid, bool keep, const char **failed) {
  return (void)uid, (void)gid, (void)keep, (void)failed, true;
}

_Noreturn void run_command(int fd, struct frame *frame) {
  (void)fd, (void)frame;
  die("a RUN that was let through");
}

void start_killing(struct supervisor *s) { s->killing = true; }

unsigned tree_signal(pid_t root, spare_fn spared, int sig) {
  (void)root, (void)spared;
  if (sig < 1 || sig > 64) die("a signal that does not exist");
  return ++kills;
}
