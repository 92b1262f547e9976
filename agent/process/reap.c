/* The descendants of a command or of a terminal's program: all orphans among them come to this process. */
#include "agent.h"

#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define REAPED_A_TURN 128

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

void reaper_heard(const struct reaper *r) {
  struct signalfd_siginfo info;
  while (read(r->signal_fd, &info, sizeof info) > 0) continue;
}

void reap_children(struct reaper *r) {
  /* Bounded: a fork bomb brings forth the dead as fast as they can be reaped. */
  r->again = true;
  for (int i = 0; i < REAPED_A_TURN; i++) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    /* Orphans come to this process, so no child means no descendant. */
    if (pid < 0) r->children = false;
    if (pid <= 0) {
      r->again = false;
      return;
    }
    if (pid == r->first && !r->ended) {
      r->ended = true;
      r->status = status;
      r->ended_at = clock_ms(CLOCK_REALTIME);
      r->ended_mono = now_ms();
    }
  }
}

void reap_first(const struct reaper *r) {
  while (waitpid(r->first, NULL, 0) < 0 && errno == EINTR) continue;
}
