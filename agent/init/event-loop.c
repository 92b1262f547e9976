/* PID 1's loop: accepts and forks, reaps, keeps the deadline, ends what a dead supervisor left. It parses nothing. */
#include "agent.h"
#include "egress/egress.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define SERVING_MAX 4096
#define STRAY_ROUND_MS 2
#define REAPED_A_TURN 128

static pid_t serving[SERVING_MAX];
static size_t serving_count;
static int own_fds[4]; /* of PID 1 alone: listener, deadlines, timer, signals */
static bool strays; /* something may have been orphaned to PID 1 that no supervisor keeps any more */

static bool is_serving(pid_t pid) {
  if (pid == egress.pid) return true;
  for (size_t i = 0; i < serving_count; i++) {
    if (serving[i] == pid) return true;
  }
  return false;
}

static void start_egress(void) { egress_start(own_fds, sizeof own_fds / sizeof *own_fds); }

static void set_deadline(int timer_fd, int64_t at_ms) {
  /* Zero would disarm the timer. */
  int64_t at = at_ms > 0 ? at_ms : 1;
  struct itimerspec when = {.it_value = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000}};
  /* A deadline that cannot be set is one that would never come: better to end now. */
  if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL) != 0) _exit(70);
  __atomic_store_n(&agent.deadline->at_ms, at, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&agent.deadline->changes, 1, __ATOMIC_SEQ_CST);
}

static void take_deadline(int pipe_fd, int timer_fd) {
  uint64_t ms = 0;
  /* Children write 8 bytes at once, which a pipe never splits. */
  while (read(pipe_fd, &ms, sizeof ms) == (ssize_t)sizeof ms) {
    if (ms == DEADLINE_NOW) _exit(0);
    if (ms > DURATION_MAX) ms = DURATION_MAX;
    set_deadline(timer_fd, clock_ms(CLOCK_BOOTTIME) + (int64_t)ms);
  }
}

static _Noreturn void end_sandbox(void) {
  int fd = openat(agent.dir_fd, "ended.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd >= 0) {
    /* The deadline holds even where the word cannot be left. */
    bool written = write_all(fd, "deadline", 8);
    close(fd);
    if (written && renameat(agent.dir_fd, "ended.new", agent.dir_fd, "ended") != 0) _exit(0);
  }
  _exit(0);
}

/* Bounded, so that a flood of orphans keeps nobody waiting. True: there may be more. */
static bool reap(void) {
  for (int i = 0; i < REAPED_A_TURN; i++) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);
    if (pid <= 0) return false;
    size_t at = 0;
    while (at < serving_count && serving[at] != pid) at++;
    bool ours = at < serving_count || pid == egress.pid;
    if (WIFSTOPPED(status)) {
      /* A stopped supervisor keeps no time limit: nobody inside may hold one. */
      if (ours) kill(pid, SIGCONT);
      continue;
    }
    if (pid == egress.pid) {
      /* Its listeners are kept here, so that the next one goes on where it stopped. */
      start_egress();
      continue;
    }
    if (ours) serving[at] = serving[--serving_count];
    /* A supervisor ends by itself only when nothing of its command is left. */
    if (!ours || WIFSIGNALED(status)) strays = true;
  }
  return true;
}

static void serve(int listen_fd, int pipe_fd, int timer_fd, int signal_fd) {
  int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) {
    /* Out of descriptors or memory: waiting keeps the loop from spinning on a queue that stays readable. */
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      poll(NULL, 0, 10);
    }
    return;
  }
  if (!peer_is_outside(fd)) {
    close(fd);
    return;
  }
  pid_t pid = -1;
  errno = EAGAIN;
  if (serving_count < SERVING_MAX) pid = fork();
  if (pid == 0) {
    close(listen_fd);
    close(pipe_fd);
    close(timer_fd);
    close(signal_fd);
    egress_close_listeners();
    serve_connection(fd);
  }
  if (pid < 0) {
    struct reply r;
    reply_error(&r, EAGAIN, "fork", NULL);
    /* A fresh socket has room for it; a peer that is gone already needs no answer. PID 1 never waits for one. */
    (void)send(fd, r.bytes, r.len, MSG_NOSIGNAL | MSG_DONTWAIT);
  } else {
    serving[serving_count++] = pid;
  }
  close(fd);
}

_Noreturn void accept_loop(int listen_fd, int deadline_pipe, int64_t deadline_at) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  int signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  int timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (signal_fd < 0 || timer_fd < 0) _exit(70);
  set_deadline(timer_fd, deadline_at);
  memcpy(own_fds, (int[4]){listen_fd, deadline_pipe, timer_fd, signal_fd}, sizeof own_fds);
  start_egress();
  bool reap_again = false;
  for (;;) {
    struct pollfd p[4] = {{.fd = timer_fd, .events = POLLIN},
                          {.fd = deadline_pipe, .events = POLLIN},
                          {.fd = signal_fd, .events = POLLIN},
                          {.fd = listen_fd, .events = POLLIN}};
    if (poll(p, 4, reap_again ? 0 : strays ? STRAY_ROUND_MS : -1) < 0) continue;
    /* New deadlines first: whoever was answered after one must find it in force. */
    if (p[1].revents != 0) take_deadline(deadline_pipe, timer_fd);
    uint64_t times = 0;
    if (p[0].revents != 0 && read(timer_fd, &times, sizeof times) == (ssize_t)sizeof times) {
      if (clock_ms(CLOCK_BOOTTIME) >= agent.deadline->at_ms) end_sandbox();
    }
    struct signalfd_siginfo info;
    while (p[2].revents != 0 && read(signal_fd, &info, sizeof info) > 0) continue;
    reap_again = reap();
    if (strays && tree_kill_round(getpid(), is_serving) == 0) strays = false;
    if (p[3].revents != 0) serve(listen_fd, deadline_pipe, timer_fd, signal_fd);
  }
}
