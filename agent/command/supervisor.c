/* A command's supervisor, which lives until every descendant of the command is gone. */
#include "command/command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define ANNOUNCE_MS 50
#define ROUND_WAIT_MAX_MS 20
#define SAVE_AGAIN_MS 1000
#define LINGER_MS 2000
#define DYING_MAX_MS 2000
#define FIXED 5

/* The child could not execute the program: the command is not created. */
static _Noreturn void abandon(struct supervisor *s, int client, const struct exec_failure *failure) {
  reap_first(&s->reaper);
  unclaim_command(s->dir_fd, s->command->id);
  send_exec_failure(client, failure, &s->command->program);
  _exit(0);
}

static void read_report(struct supervisor *s, int client) {
  struct exec_failure failure;
  if (s->report_fd < 0) return;
  ssize_t n = read(s->report_fd, &failure, sizeof failure);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n == (ssize_t)sizeof failure) abandon(s, client, &failure);
  /* Closed by exec, or because the child was killed before exec. */
  close(s->report_fd);
  s->report_fd = -1;
  s->started = true;
  clients_notify_started();
}

static void continue_kill(struct supervisor *s, int64_t now) {
  if (!s->killing) return;
  if (s->reaper.children && now >= s->next_round) {
    kill_tree_round(getpid(), NULL);
    reap_children(&s->reaper);
    s->next_round = now_ms() + s->round_wait;
    if (s->round_wait < ROUND_WAIT_MAX_MS) s->round_wait *= 2;
  }
  if (s->reaper.children) return;
  s->killing = false;
  clients_answer_kills((unsigned)kill_tree_count());
}

static void enforce_timeout(struct supervisor *s, int64_t now) {
  if (s->timeout_at >= 0 && now >= s->timeout_at) {
    s->timeout_at = -1;
    if (s->reaper.ended) return; /* processes left behind by a finished command have no time limit */
    request_termination(s, CAUSE_TIMEOUT, SIGTERM);
    signal_tree(getpid(), NULL, SIGTERM);
    s->escalate_at = now + (int64_t)s->command->grace_ms;
  }
  if (s->escalate_at >= 0 && now >= s->escalate_at) {
    s->escalate_at = -1;
    start_kill(s);
  }
}

static void finish(struct supervisor *s, int client, int64_t now) {
  /* A killed command is reported once none of its processes is alive, or after a limit: some cannot be killed. */
  bool dying = s->killing && s->reaper.children && now < s->killing_since + DYING_MAX_MS;
  if (s->reaper.ended && !s->finished && !dying) {
    /* A failure was reported before the process ended; otherwise its end has closed the pipe. */
    read_report(s, client);
    output_pump_drain(&s->pump, &s->log);
    exit_status_finish(s);
    s->finished = true;
    s->save_again_at = now;
  }
  if (s->finished && !s->exit_saved && now >= s->save_again_at) {
    s->exit_saved = exit_file_save(s);
    s->save_again_at = now + SAVE_AGAIN_MS;
    /* The file is written before the event is sent, so that clients find it. */
    if (s->exit_saved) clients_notify_exit();
  }
}

static void announce(struct supervisor *s, int64_t now) {
  uint64_t total = s->log.total[0] + s->log.total[1];
  if (s->finished || total == s->announced || now < s->announced_at + ANNOUNCE_MS) return;
  s->announced = total;
  s->announced_at = now;
  clients_notify_output();
}

static int earliest(const struct supervisor *s, int64_t now) {
  int64_t at = INT64_MAX;
  bool grown = s->log.total[0] + s->log.total[1] != s->announced;
  if (s->timeout_at >= 0) at = s->timeout_at;
  if (s->escalate_at >= 0 && s->escalate_at < at) at = s->escalate_at;
  if (s->killing && s->next_round < at) at = s->next_round;
  if (grown && !s->finished && s->announced_at + ANNOUNCE_MS < at) at = s->announced_at + ANNOUNCE_MS;
  if (s->finished && !s->exit_saved && s->save_again_at < at) at = s->save_again_at;
  if (s->closing && s->linger_until < at) at = s->linger_until;
  if (at == INT64_MAX) return -1;
  if (at <= now) return 0;
  return at - now > 3600000 ? 3600000 : (int)(at - now);
}

/* True when all that is left is to notify the clients. */
static bool is_over(const struct supervisor *s) {
  return s->finished && s->exit_saved && !s->reaper.children && !s->killing;
}

/* True when the clients have been notified, or do not read. */
static bool close_down(struct supervisor *s, int64_t now, bool flushed) {
  if (!is_over(s)) return false;
  if (!s->closing) {
    s->closing = true;
    s->linger_until = now + LINGER_MS;
    /* One more turn answers requests that have arrived meanwhile. */
    return false;
  }
  return flushed || now >= s->linger_until;
}

_Noreturn void supervise(struct supervisor *s, int first_client) {
  static struct pollfd polled[FIXED + CLIENTS_MAX];
  s->escalate_at = -1;
  s->timeout_at = s->command->timeout_ms > 0 ? s->started_mono + (int64_t)s->command->timeout_ms : -1;
  s->announced_at = s->started_mono - ANNOUNCE_MS;
  /* A client that cannot be made non-blocking is dropped; the command runs without it. */
  if (!clients_start(first_client)) close(first_client);
  bool last_turn = false;
  for (;;) {
    int64_t now = now_ms();
    polled[0] = (struct pollfd){.fd = s->reaper.signal_fd, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = s->listen_fd, .events = POLLIN};
    polled[2] = (struct pollfd){.fd = s->report_fd, .events = POLLIN};
    polled[3] = (struct pollfd){.fd = s->pump.fd[0], .events = POLLIN};
    polled[4] = (struct pollfd){.fd = s->pump.fd[1], .events = POLLIN};
    size_t clients = clients_poll(polled + FIXED);
    if (poll(polled, FIXED + clients, last_turn || s->reaper.again ? 0 : earliest(s, now)) < 0) continue;
    if (polled[2].revents != 0) read_report(s, first_client);
    for (int stream = 0; stream < 2; stream++) {
      if (polled[3 + stream].revents != 0) output_pump_read(&s->pump, &s->log, stream);
    }
    if (polled[0].revents != 0) reaper_clear_signal(&s->reaper);
    if (polled[0].revents != 0 || s->reaper.again) reap_children(&s->reaper);
    now = now_ms();
    finish(s, first_client, now);
    enforce_timeout(s, now);
    announce(s, now);
    clients_serve(s, polled + FIXED, clients);
    if (polled[1].revents != 0) clients_accept(s);
    continue_kill(s, now_ms());
    finish(s, first_client, now);
    /* Before clients are notified: an existing socket means that a process of the command is still alive. */
    if (is_over(s) && !s->closing) {
      /* Before removing the socket: without it, readers consider the log complete. */
      output_pump_drain(&s->pump, &s->log);
      unlinkat(s->dir_fd, "socket", 0);
    }
    bool flushed = clients_flush(s);
    bool was_closing = s->closing;
    if (close_down(s, now, flushed)) break;
    last_turn = s->closing && !was_closing;
  }
  _exit(0);
}
