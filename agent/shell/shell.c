/* SHELL: runs a program for as long as the client's connection is open, on its own pseudo-terminal or with pipes. */
#include "shell/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAIN_MAX (1u << 20)
#define HANGUP_MS 200
#define LINGER_MS 1000
#define ROUND_WAIT_MAX_MS 20

static void queue(struct shell *s, struct reply *r) {
  reply_end(r);
  memcpy(s->out, r->bytes, r->len);
  s->out_len = r->len;
  s->out_sent = 0;
}

static void queue_exit(struct shell *s) {
  int sig = WIFSIGNALED(s->reaper.status) ? WTERMSIG(s->reaper.status) : 0;
  struct reply r;
  reply_begin(&r, ANS_EXIT);
  reply_number(&r, TAG_EXIT_CODE, (uint64_t)(sig != 0 ? 128 + sig : WEXITSTATUS(s->reaper.status)));
  reply_number(&r, TAG_EXIT_SIGNAL, (uint64_t)sig);
  queue(s, &r);
  s->exit_sent = true;
}

/* False when there is nothing to read from the terminal now. */
static bool queue_output(struct shell *s) {
  ssize_t n = read(s->ptm, s->out + FRAME_HEADER, DATA_MAX);
  if (n <= 0) return false;
  store_u32(s->out, (uint32_t)n);
  s->out[4] = ANS_DATA;
  s->out_len = FRAME_HEADER + (size_t)n;
  s->out_sent = 0;
  if (s->reaper.ended) s->drained += (size_t)n;
  return true;
}

static void read_report(struct shell *s, const struct program *program) {
  struct exec_failure failure;
  ssize_t n = s->report_fd < 0 ? -1 : read(s->report_fd, &failure, sizeof failure);
  if (s->report_fd < 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
  if (n == (ssize_t)sizeof failure) {
    reap_first(&s->reaper);
    send_exec_failure(s->client, &failure, program);
    _exit(0);
  }
  close(s->report_fd);
  s->report_fd = -1;
  s->started = true;
  struct reply r;
  reply_begin(&r, ANS_STARTED);
  queue(s, &r);
}

/* Sends the next event: started, output, or exit. */
static void send_next(struct shell *s, const struct program *program) {
  shell_send(s);
  while (s->out_len == 0 && !s->closed && !s->exit_sent) {
    if (!s->started) {
      read_report(s, program);
      if (!s->started) return;
    } else if (s->drained > DRAIN_MAX || !queue_output(s)) {
      if (!s->reaper.ended) return;
      queue_exit(s);
    }
    shell_send(s);
    /* One frame per turn while it runs, so that a flood of output does not delay keys and signals. */
    if (!s->reaper.ended) return;
  }
}

/* A client that has closed only its sending half still gets the EXIT, if it reads. */
static void send_exit(struct shell *s) {
  int64_t until = now_ms() + LINGER_MS;
  for (;;) {
    shell_send(s);
    if (s->out_len == 0 && (s->exit_sent || !s->reaper.ended)) return;
    int64_t left = until - now_ms();
    struct pollfd p = {.fd = s->client, .events = POLLOUT};
    if (s->out_len == 0) {
      queue_exit(s);
    } else if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR)) {
      return;
    }
  }
}

/* Closing the terminal sends SIGHUP, so that its programs can save their state; those that stay are killed. */
static _Noreturn void hang_up(struct shell *s) {
  close(s->tty);
  close(s->ptm);
  int64_t now = now_ms(), until = now + HANGUP_MS;
  int wait_ms = 1;
  for (;; now = now_ms()) {
    do reap_children(&s->reaper);
    while (s->reaper.again);
    if (!s->reaper.children) break;
    if (now >= until) {
      kill_tree_round(getpid(), NULL);
      if (wait_ms < ROUND_WAIT_MAX_MS) wait_ms *= 2;
    }
    struct pollfd p = {.fd = s->reaper.signal_fd, .events = POLLIN};
    (void)poll(&p, 1, now < until ? (int)(until - now) : wait_ms);
    reaper_clear_signal(&s->reaper);
  }
  send_exit(s);
  _exit(0);
}

static _Noreturn void run_loop(struct shell *s, const struct program *program) {
  for (;;) {
    bool sending = s->out_len > 0, typing = s->typed_end > 0;
    bool reading = s->started && !s->reaper.ended && !sending;
    struct pollfd p[4] = {
        {.fd = s->reaper.signal_fd, .events = POLLIN},
        {.fd = s->client, .events = (short)(POLLRDHUP | (typing ? 0 : POLLIN) | (sending ? POLLOUT : 0))},
        {.fd = s->ptm, .events = (short)((reading ? POLLIN : 0) | (typing ? POLLOUT : 0))},
        {.fd = s->report_fd, .events = POLLIN}};
    if (poll(p, 4, s->reaper.again ? 0 : -1) < 0) continue;
    if (p[0].revents != 0) reaper_clear_signal(&s->reaper);
    if (p[0].revents != 0 || s->reaper.again) reap_children(&s->reaper);
    if ((p[1].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) s->closed = true;
    if (!s->closed && (p[1].revents & POLLIN) != 0) shell_receive(s);
    if (typing) shell_type(s);
    send_next(s, program);
    if (s->closed) hang_up(s);
  }
}

/* A pipe for the output. Its writing end stays open here, as a terminal's does: the program's exit is the end. */
static bool pipe_open(struct shell *s) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  s->ptm = ends[0];
  s->tty = ends[1];
  return fcntl(s->ptm, F_SETFL, O_NONBLOCK) == 0;
}

static bool start(struct shell *s, const struct program *program, const char **what) {
  bool piped = program->input != NULL;
  int report[2] = {-1, -1};
  if (!reaper_open(&s->reaper, what)) return false;
  *what = "pipe";
  if (pipe2(report, O_CLOEXEC) != 0 || fcntl(report[0], F_SETFL, O_NONBLOCK) != 0) return false;
  s->report_fd = report[0];
  *what = "fork";
  s->reaper.first = fork();
  /* The agent's own standard error is /dev/null. */
  if (s->reaper.first == 0) exec_child(program, piped ? -1 : s->tty, s->tty, piped ? STDERR_FILENO : s->tty, report[1]);
  if (s->reaper.first < 0) return false;
  close(report[1]);
  return true;
}

_Noreturn void serve_shell(int fd, struct frame *frame) {
  static struct shell s;
  struct shell_request request;
  if (!shell_read(frame, &request)) {
    send_protocol_error(fd);
    _exit(0);
  }
  const struct program *program = &request.program;
  const char *what = invalid_shell_field(&request);
  errno = EINVAL;
  if (what == NULL) {
    s.client = fd;
    s.ptm = s.tty = s.reaper.signal_fd = s.report_fd = -1;
    bool piped = program->input != NULL;
    what = piped ? "pipe" : "terminal";
    uid_t uid = program->sudo ? 0 : agent.uid;
    gid_t gid = program->sudo ? 0 : agent.gid;
    bool opened = piped ? pipe_open(&s) : pty_open(&s, (uint16_t)request.cols, (uint16_t)request.rows, uid, gid);
    if (opened && start(&s, program, &what)) run_loop(&s, program);
  }
  send_error(fd, errno, what, NULL);
  _exit(0);
}
