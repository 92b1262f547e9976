/* How a command ended: whose request it was, and the exit file that tells it. */
#include "agent.h"

#include <stdio.h>
#include <sys/wait.h>

/* Signals that end no program by themselves: a command that ends after one of them ended of its own accord. */
static bool asks_to_end(int sig) {
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

void outcome_ask(struct supervisor *s, int cause, int sig) {
  struct outcome *o = &s->outcome;
  int64_t now = now_ms();
  if (s->reaper.ended || !asks_to_end(sig)) return;
  bool pending = o->cause != CAUSE_EXIT && now <= o->cause_until;
  if (!pending) {
    o->cause = cause;
    o->cause_signal = sig;
    o->cause_until = now + (int64_t)s->command->grace_ms;
  }
  /* SIGKILL comes for sure: at once, or at the end of a timeout's grace. */
  if (sig == SIGKILL || o->cause == CAUSE_TIMEOUT) o->cause_until = INT64_MAX;
}

/* Takes the exit file's space while there is some: a full disk must not hide how a command ended. */
bool outcome_prepare(struct supervisor *s) {
  struct reply r;
  s->exit_fd = openat(s->dir_fd, "exit.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (s->exit_fd < 0) return false;
  outcome_reply(s, &r);
  return write_all(s->exit_fd, r.bytes + FRAME_HEADER, r.len - FRAME_HEADER);
}

void outcome_reply(const struct supervisor *s, struct reply *r) {
  const struct outcome *o = &s->outcome;
  reply_begin(r, ANS_EXIT);
  reply_number(r, TAG_EXIT_CODE, (uint64_t)o->exit_code);
  reply_number(r, TAG_EXIT_SIGNAL, (uint64_t)o->signal);
  reply_number(r, TAG_EXIT_CAUSE, (uint64_t)o->recorded_cause);
  reply_number(r, TAG_ENDED_AT, (uint64_t)o->ended_at);
  reply_number(r, TAG_DURATION_MS, (uint64_t)o->duration_ms);
  reply_number(r, TAG_STDOUT_BYTES, o->stdout_bytes);
  reply_number(r, TAG_STDERR_BYTES, o->stderr_bytes);
  reply_end(r);
}

/*
 * The first process has been reaped and its pipes were drained. The times are those of its own end: what it left may have
 * been waited for since.
 */
void outcome_finish(struct supervisor *s) {
  struct outcome *o = &s->outcome;
  int64_t ended = s->reaper.ended_mono;
  o->signal = WIFSIGNALED(s->reaper.status) ? WTERMSIG(s->reaper.status) : 0;
  o->exit_code = o->signal != 0 ? 128 + o->signal : WEXITSTATUS(s->reaper.status);
  bool by_request = o->cause != CAUSE_EXIT && (ended <= o->cause_until || o->signal == o->cause_signal);
  o->recorded_cause = by_request ? o->cause : CAUSE_EXIT;
  o->ended_at = s->reaper.ended_at;
  o->duration_ms = ended - s->started_mono;
  o->stdout_bytes = s->capture.total[0];
  o->stderr_bytes = s->capture.total[1];
}

bool outcome_save(struct supervisor *s) {
  struct reply r;
  outcome_reply(s, &r);
  size_t len = r.len - FRAME_HEADER;
  if (pwrite(s->exit_fd, r.bytes + FRAME_HEADER, len, 0) != (ssize_t)len) return false;
  return renameat(s->dir_fd, "exit.new", s->dir_fd, "exit") == 0;
}
