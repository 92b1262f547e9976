/* Reaps the descendants of a command or a terminal: as the subreaper, this process inherits all orphans among them. */
#include "process/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAPS_PER_TURN 128

bool reaper_open(struct reaper *r, const char **what) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  *what = "subreaper";
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return false;
  *what = "signalfd";
  r->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  r->children = true;
  return r->signal_fd >= 0;
}

void reaper_clear_signal(const struct reaper *r) {
  struct signalfd_siginfo info;
  while (read(r->signal_fd, &info, sizeof info) > 0) continue;
}

void reap_children(struct reaper *r) {
  /* Bounded: a fork bomb creates zombies as fast as they can be reaped. */
  r->again = true;
  for (int i = 0; i < REAPS_PER_TURN; i++) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    /* Orphans are reparented to this process, so no child means no descendant. */
    if (pid < 0) r->children = false;
    if (pid <= 0) {
      r->again = false;
      return;
    }
    if (pid == r->first && !r->ended) {
      r->ended = true;
      r->status = status;
      r->ended_mono = now_ms();
    }
  }
}

void reap_first(const struct reaper *r) {
  while (waitpid(r->first, NULL, 0) < 0 && errno == EINTR) continue;
}
