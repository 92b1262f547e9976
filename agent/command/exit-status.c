/* How a command ended, at whose request, and the exit file that records it. */
#include "command/command.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* False for signals that end no program by default: a command that ends after one of them ended by itself. */
static bool terminates_by_default(int sig) {
  switch (sig) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return false;
    default: return true;
  }
}

void request_termination(struct supervisor *s, int cause, int sig) {
  struct exit_status *e = &s->exit_status;
  int64_t now = now_ms();
  if (s->reaper.ended || !terminates_by_default(sig)) return;
  bool pending = e->cause != CAUSE_EXIT && now <= e->cause_until;
  if (!pending) {
    e->cause = cause;
    e->cause_signal = sig;
    e->cause_until = now + (int64_t)s->command->grace_ms;
  }
  /* SIGKILL is certain to follow: immediately, or at the end of a timeout's grace period. */
  if (sig == SIGKILL || e->cause == CAUSE_TIMEOUT) e->cause_until = INT64_MAX;
}

/* Reserves the exit file's disk space at the start: a full disk must not hide how a command ended. */
bool exit_file_reserve(struct supervisor *s) {
  struct reply r;
  s->exit_fd = openat(s->dir_fd, "exit.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (s->exit_fd < 0) return false;
  exit_status_reply(s, &r);
  return write_all(s->exit_fd, r.bytes + FRAME_HEADER, r.len - FRAME_HEADER);
}

void exit_status_reply(const struct supervisor *s, struct reply *r) {
  const struct exit_status *e = &s->exit_status;
  reply_begin(r, ANS_EXIT);
  reply_number(r, TAG_EXIT_CODE, (uint64_t)e->exit_code);
  reply_number(r, TAG_EXIT_SIGNAL, (uint64_t)e->signal);
  reply_number(r, TAG_EXIT_CAUSE, (uint64_t)e->recorded_cause);
  reply_number(r, TAG_DURATION_MS, (uint64_t)e->duration_ms);
  reply_number(r, TAG_STDOUT_BYTES, e->stdout_bytes);
  reply_number(r, TAG_STDERR_BYTES, e->stderr_bytes);
  reply_end(r);
}

/*
 * Called once the first process is reaped and its pipes are drained. The times are those of its own end, which may be
 * earlier: the supervisor may have waited for processes left behind.
 */
void exit_status_finish(struct supervisor *s) {
  struct exit_status *e = &s->exit_status;
  int64_t ended = s->reaper.ended_mono;
  e->signal = WIFSIGNALED(s->reaper.status) ? WTERMSIG(s->reaper.status) : 0;
  e->exit_code = e->signal != 0 ? 128 + e->signal : WEXITSTATUS(s->reaper.status);
  bool by_request = e->cause != CAUSE_EXIT && (ended <= e->cause_until || e->signal == e->cause_signal);
  e->recorded_cause = by_request ? e->cause : CAUSE_EXIT;
  e->duration_ms = ended - s->started_mono;
  e->stdout_bytes = s->log.total[0];
  e->stderr_bytes = s->log.total[1];
}

bool exit_file_save(struct supervisor *s) {
  struct reply r;
  exit_status_reply(s, &r);
  size_t len = r.len - FRAME_HEADER;
  if (pwrite(s->exit_fd, r.bytes + FRAME_HEADER, len, 0) != (ssize_t)len) return false;
  return renameat(s->dir_fd, "exit.new", s->dir_fd, "exit") == 0;
}
