/* SHELL: a program on a terminal of its own, which lives as long as the connection that asked for it. */
#include "agent.h"

#include <poll.h>
#include <string.h>
#include <sys/wait.h>

#define DRAINED_MAX (1u << 20)
#define HANGUP_MS 200
#define LINGER_MS 1000
#define ROUND_WAIT_MAX_MS 20

static void put(struct shell *s, struct reply *r) {
  reply_end(r);
  memcpy(s->out, r->bytes, r->len);
  s->out_len = r->len;
  s->out_sent = 0;
}

static void put_exit(struct shell *s) {
  int sig = WIFSIGNALED(s->reaper.status) ? WTERMSIG(s->reaper.status) : 0;
  struct reply r;
  reply_begin(&r, ANS_EXIT);
  reply_number(&r, TAG_EXIT_CODE, (uint64_t)(sig != 0 ? 128 + sig : WEXITSTATUS(s->reaper.status)));
  reply_number(&r, TAG_EXIT_SIGNAL, (uint64_t)sig);
  put(s, &r);
  s->told_exit = true;
}

/* False when the terminal holds nothing to read now. */
static bool put_output(struct shell *s) {
  ssize_t n = read(s->master, s->out + FRAME_HEADER, DATA_MAX);
  if (n <= 0) return false;
  store_u32(s->out, (uint32_t)n);
  s->out[4] = ANS_DATA;
  s->out_len = FRAME_HEADER + (size_t)n;
  s->out_sent = 0;
  if (s->reaper.ended) s->drained += (size_t)n;
  return true;
}

static void read_report(struct shell *s, const struct command *command) {
  struct launch_report report;
  ssize_t n = s->report_fd < 0 ? -1 : read(s->report_fd, &report, sizeof report);
  if (s->report_fd < 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
  if (n == (ssize_t)sizeof report) {
    reap_first(&s->reaper);
    launch_send_error(s->client, &report, command);
    _exit(0);
  }
  close(s->report_fd);
  s->report_fd = -1;
  s->started = true;
  struct reply r;
  reply_begin(&r, ANS_STARTED);
  reply_number(&r, TAG_STARTED_AT, (uint64_t)s->started_at);
  put(s, &r);
}

/* The one thing to tell next: that it runs, what it shows, how it ended. */
static void tell(struct shell *s, const struct command *command) {
  shell_send(s);
  while (s->out_len == 0 && !s->over && !s->told_exit) {
    if (!s->started) {
      read_report(s, command);
      if (!s->started) return;
    } else if (s->drained > DRAINED_MAX || !put_output(s)) {
      if (!s->reaper.ended) return;
      put_exit(s);
    }
    shell_send(s);
    /* One frame a turn while it runs, so that a flood keeps neither keys nor signals waiting. */
    if (!s->reaper.ended) return;
  }
}

/* A client that has closed its sending half alone still learns how it ended, if it reads. */
static void tell_end(struct shell *s) {
  int64_t until = now_ms() + LINGER_MS;
  for (;;) {
    shell_send(s);
    if (s->out_len == 0 && (s->told_exit || !s->reaper.ended)) return;
    int64_t left = until - now_ms();
    struct pollfd p = {.fd = s->client, .events = POLLOUT};
    if (s->out_len == 0) {
      put_exit(s);
    } else if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR)) {
      return;
    }
  }
}

/* Closing the terminal lets its programs save what they have to; what does not end from it is killed. */
static _Noreturn void end_all(struct shell *s) {
  close(s->slave);
  close(s->master);
  int64_t now = now_ms(), until = now + HANGUP_MS;
  int wait_ms = 1;
  for (;; now = now_ms()) {
    do reap_children(&s->reaper);
    while (s->reaper.again);
    if (!s->reaper.children) break;
    if (now >= until) {
      tree_kill_round(getpid(), NULL);
      if (wait_ms < ROUND_WAIT_MAX_MS) wait_ms *= 2;
    }
    struct pollfd p = {.fd = s->reaper.signal_fd, .events = POLLIN};
    (void)poll(&p, 1, now < until ? (int)(until - now) : wait_ms);
    reaper_heard(&s->reaper);
  }
  tell_end(s);
  _exit(0);
}

static _Noreturn void relay(struct shell *s, const struct command *command) {
  for (;;) {
    bool sending = s->out_len > 0, typing = s->typed_end > 0;
    bool reading = s->started && !s->reaper.ended && !sending;
    struct pollfd p[4] = {
        {.fd = s->reaper.signal_fd, .events = POLLIN},
        {.fd = s->client, .events = (short)(POLLRDHUP | (typing ? 0 : POLLIN) | (sending ? POLLOUT : 0))},
        {.fd = s->master, .events = (short)((reading ? POLLIN : 0) | (typing ? POLLOUT : 0))},
        {.fd = s->report_fd, .events = POLLIN}};
    if (poll(p, 4, s->reaper.again ? 0 : -1) < 0) continue;
    if (p[0].revents != 0) reaper_heard(&s->reaper);
    if (p[0].revents != 0 || s->reaper.again) reap_children(&s->reaper);
    if ((p[1].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) s->over = true;
    if (!s->over && (p[1].revents & POLLIN) != 0) shell_receive(s);
    if (typing) shell_type(s);
    tell(s, command);
    if (s->over) end_all(s);
  }
}

static bool start(struct shell *s, const struct command *command, const char **what) {
  int report[2] = {-1, -1};
  if (!reaper_open(&s->reaper, what)) return false;
  *what = "pipe";
  if (pipe2(report, O_CLOEXEC) != 0 || fcntl(report[0], F_SETFL, O_NONBLOCK) != 0) return false;
  s->report_fd = report[0];
  s->started_at = clock_ms(CLOCK_REALTIME);
  *what = "fork";
  s->reaper.first = fork();
  if (s->reaper.first == 0) launch(command, s->slave, s->slave, s->slave, report[1]);
  if (s->reaper.first < 0) return false;
  close(report[1]);
  return true;
}

_Noreturn void serve_shell(int fd, struct frame *frame) {
  static struct shell s;
  struct command command;
  uint64_t cols = 0, rows = 0;
  if (!shell_read(frame, &command, &cols, &rows)) {
    garbage(fd);
    _exit(0);
  }
  const char *what = program_problem(&command);
  if (what == NULL && (cols < 1 || cols > UINT16_MAX || rows < 1 || rows > UINT16_MAX)) what = "size";
  errno = EINVAL;
  if (what == NULL) {
    s.client = fd;
    s.master = s.slave = s.reaper.signal_fd = s.report_fd = -1;
    what = "terminal";
    uid_t uid = command.sudo ? 0 : agent.uid;
    gid_t gid = command.sudo ? 0 : agent.gid;
    if (terminal_open(&s, (uint16_t)cols, (uint16_t)rows, uid, gid) && start(&s, &command, &what)) relay(&s, &command);
  }
  send_error(fd, errno, what, NULL);
  _exit(0);
}
