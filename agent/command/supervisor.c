/* A command's supervisor: lives until every descendant of the command is gone. */
#include "agent.h"

#include <poll.h>

#define ANNOUNCE_MS 50
#define ROUND_WAIT_MAX_MS 20
#define SAVE_AGAIN_MS 1000
#define LINGER_MS 2000
#define DYING_MAX_MS 2000
#define FIXED 5

/* The command's own process told why it could not become the program: no command comes to be. */
static _Noreturn void abandon(struct supervisor *s, int client, const struct launch_report *report) {
  reap_first(&s->reaper);
  command_unclaim(s->dir_fd, s->command->id);
  launch_send_error(client, report, s->command);
  _exit(0);
}

static void read_report(struct supervisor *s, int client) {
  struct launch_report report;
  if (s->report_fd < 0) return;
  ssize_t n = read(s->report_fd, &report, sizeof report);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n == (ssize_t)sizeof report) abandon(s, client, &report);
  /* Closed by exec, or by the end of a process that was killed on its way there. */
  close(s->report_fd);
  s->report_fd = -1;
  s->started = true;
  clients_started();
}

void start_killing(struct supervisor *s) {
  if (s->killing) return;
  s->killing = true;
  s->killing_since = now_ms();
  tree_kill_begin();
  s->round_wait = 1;
  s->next_round = now_ms();
}

static void kill_on(struct supervisor *s, int64_t now) {
  if (!s->killing) return;
  if (s->reaper.children && now >= s->next_round) {
    tree_kill_round(getpid(), NULL);
    reap_children(&s->reaper);
    s->next_round = now_ms() + s->round_wait;
    if (s->round_wait < ROUND_WAIT_MAX_MS) s->round_wait *= 2;
  }
  if (s->reaper.children) return;
  s->killing = false;
  clients_killed((unsigned)tree_killed());
}

static void keep_time_limit(struct supervisor *s, int64_t now) {
  if (s->timeout_at >= 0 && now >= s->timeout_at) {
    s->timeout_at = -1;
    if (s->reaper.ended) return; /* what a finished command left running has no limit */
    outcome_ask(s, CAUSE_TIMEOUT, SIGTERM);
    tree_signal(getpid(), NULL, SIGTERM);
    s->escalate_at = now + (int64_t)s->command->grace_ms;
  }
  if (s->escalate_at >= 0 && now >= s->escalate_at) {
    s->escalate_at = -1;
    start_killing(s);
  }
}

static void finish(struct supervisor *s, int client, int64_t now) {
  /* Who is told that a killed command has ended finds nothing of it alive. What cannot die keeps nobody waiting. */
  bool dying = s->killing && s->reaper.children && now < s->killing_since + DYING_MAX_MS;
  if (s->reaper.ended && !s->finished && !dying) {
    /* What it reported was written before it ended; otherwise its end has closed the pipe. */
    read_report(s, client);
    pump_rest(&s->pump, &s->capture);
    outcome_finish(s);
    s->finished = true;
    s->save_again_at = now;
  }
  if (s->finished && !s->exit_saved && now >= s->save_again_at) {
    s->exit_saved = outcome_save(s);
    s->save_again_at = now + SAVE_AGAIN_MS;
    /* The event follows the file, so that whoever was told finds it. */
    if (s->exit_saved) clients_finished();
  }
}

static void announce(struct supervisor *s, int64_t now) {
  uint64_t total = s->capture.total[0] + s->capture.total[1];
  if (s->finished || total == s->announced || now < s->announced_at + ANNOUNCE_MS) return;
  s->announced = total;
  s->announced_at = now;
  clients_grew();
}

static int earliest(const struct supervisor *s, int64_t now) {
  int64_t at = INT64_MAX;
  bool grown = s->capture.total[0] + s->capture.total[1] != s->announced;
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

/* True when nothing is left to do but to tell those who listen. */
static bool is_over(const struct supervisor *s) {
  return s->finished && s->exit_saved && !s->reaper.children && !s->killing;
}

/* Returns true when they have been told, or do not read. */
static bool close_down(struct supervisor *s, int64_t now, bool told) {
  if (!is_over(s)) return false;
  if (!s->closing) {
    pump_rest(&s->pump, &s->capture);
    s->closing = true;
    s->linger_until = now + LINGER_MS;
    /* One more turn: a request that has come meanwhile is answered. */
    return false;
  }
  return told || now >= s->linger_until;
}

_Noreturn void supervise(struct supervisor *s, int first_client) {
  static struct pollfd polled[FIXED + CLIENTS_MAX];
  s->escalate_at = -1;
  s->timeout_at = s->command->timeout_ms > 0 ? s->started_mono + (int64_t)s->command->timeout_ms : -1;
  s->announced_at = s->started_mono - ANNOUNCE_MS;
  /* A client that cannot be served without blocking is not served: the command goes on without it. */
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
      if (polled[3 + stream].revents != 0) pump_ready(&s->pump, &s->capture, stream);
    }
    if (polled[0].revents != 0) reaper_heard(&s->reaper);
    if (polled[0].revents != 0 || s->reaper.again) reap_children(&s->reaper);
    now = now_ms();
    finish(s, first_client, now);
    keep_time_limit(s, now);
    announce(s, now);
    clients_serve(s, polled + FIXED, clients);
    if (polled[1].revents != 0) clients_accept(s);
    kill_on(s, now_ms());
    finish(s, first_client, now);
    /* Before anybody is told: a socket that is there then says that something of the command still runs. */
    if (is_over(s) && !s->closing) unlinkat(s->dir_fd, "socket", 0);
    bool told = clients_flush(s);
    bool was_closing = s->closing;
    if (close_down(s, now, told)) break;
    last_turn = s->closing && !was_closing;
  }
  _exit(0);
}
