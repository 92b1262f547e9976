/* PID 1's loop: accepts and forks, reaps, ends the sandbox at its deadline or with its last owner, kills what a dead
   supervisor left. It parses nothing. */
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "egress/egress.h"
#include "process/process.h"

#define CONNECTIONS_MAX 4096
#define ORPHAN_ROUND_MS 2
#define REAPS_PER_TURN 128

static pid_t connections[CONNECTIONS_MAX];
static size_t connection_count;
static int own_fds[4]; /* of PID 1 only: listener, deadline pipe, timer, signals */
static bool orphans;   /* PID 1 may have inherited processes of a supervisor that died */

static bool is_own_child(pid_t pid) {
  if (pid == egress.pid) return true;
  for (size_t i = 0; i < connection_count; i++) {
    if (connections[i] == pid) return true;
  }
  return false;
}

/* In a child. */
static void close_own_fds(void) {
  for (size_t i = 0; i < sizeof own_fds / sizeof *own_fds; i++) close(own_fds[i]);
  owners_close();
}

static void start_egress(void) { egress_start(close_own_fds); }

static void set_deadline(int timer_fd, int64_t at_ms) {
  /* Zero would disarm the timer. */
  int64_t at = at_ms > 0 ? at_ms : 1;
  struct itimerspec when = {.it_value = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000}};
  /* Without a timer the deadline would never come: better to end now. */
  if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL) != 0) _exit(70);
  __atomic_store_n(&deadline.page->at_ms, at, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&deadline.page->changes, 1, __ATOMIC_SEQ_CST);
}

static void take_deadline(int timer_fd) {
  uint64_t ms = 0;
  /* Children write 8 bytes at once, and a pipe does not split such writes. */
  while (read(deadline.read_fd, &ms, sizeof ms) == (ssize_t)sizeof ms) {
    if (ms == DEADLINE_NOW) _exit(0);
    if (ms > DURATION_MAX) ms = DURATION_MAX;
    set_deadline(timer_fd, clock_ms(CLOCK_BOOTTIME) + (int64_t)ms);
  }
}

static _Noreturn void end_sandbox(const char *reason) {
  int fd = openat(agent.dir_fd, "ended.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd >= 0) {
    /* The sandbox ends even if the reason cannot be written. */
    bool written = write_all(fd, reason, strlen(reason));
    close(fd);
    if (written && renameat(agent.dir_fd, "ended.new", agent.dir_fd, "ended") != 0) _exit(0);
  }
  _exit(0);
}

/* Bounded, so that a flood of orphans delays nothing. True: there may be more to reap. */
static bool reap(void) {
  for (int i = 0; i < REAPS_PER_TURN; i++) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);
    if (pid <= 0) return false;
    size_t at = 0;
    while (at < connection_count && connections[at] != pid) at++;
    bool ours = at < connection_count || pid == egress.pid;
    if (WIFSTOPPED(status)) {
      /* A stopped supervisor would not enforce its timeout, so programs inside must not be able to stop one. */
      if (ours) kill(pid, SIGCONT);
      continue;
    }
    if (pid == egress.pid) {
      /* PID 1 keeps the listeners open, so the next process continues with them. */
      start_egress();
      continue;
    }
    if (ours) connections[at] = connections[--connection_count];
    /* A supervisor exits by itself only when none of its command's processes is left. */
    if (!ours || WIFSIGNALED(status)) orphans = true;
  }
  return true;
}

static void accept_connection(int listen_fd) {
  int fd = accept_outside(listen_fd);
  if (fd < 0) return;
  pid_t pid = -1;
  errno = EAGAIN;
  if (connection_count < CONNECTIONS_MAX) pid = fork();
  if (pid == 0) {
    close_own_fds();
    egress_close_listeners();
    serve_connection(fd);
  }
  if (pid < 0) {
    struct reply r;
    reply_error(&r, EAGAIN, "fork", NULL);
    /* A new socket has room for it, and a peer that is gone needs no answer. PID 1 never blocks here. */
    (void)send(fd, r.bytes, r.len, MSG_NOSIGNAL | MSG_DONTWAIT);
  } else {
    connections[connection_count++] = pid;
  }
  close(fd);
}

_Noreturn void event_loop(int listen_fd, int64_t deadline_at) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  int signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  int timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (signal_fd < 0 || timer_fd < 0) _exit(70);
  set_deadline(timer_fd, deadline_at);
  memcpy(own_fds, (int[4]){listen_fd, deadline.read_fd, timer_fd, signal_fd}, sizeof own_fds);
  start_egress();
  bool reap_again = false;
  for (;;) {
    struct pollfd p[4 + 1 + OWNERS_MAX] = {{.fd = timer_fd, .events = POLLIN},
                                           {.fd = deadline.read_fd, .events = POLLIN},
                                           {.fd = signal_fd, .events = POLLIN},
                                           {.fd = listen_fd, .events = POLLIN}};
    if (poll(p, 4 + owners_watch(p + 4), reap_again ? 0 : orphans ? ORPHAN_ROUND_MS : -1) < 0) continue;
    /* New deadlines first: once a DEADLINE is answered, it must be in force. */
    if (p[1].revents != 0) take_deadline(timer_fd);
    uint64_t times = 0;
    if (p[0].revents != 0 && read(timer_fd, &times, sizeof times) == (ssize_t)sizeof times) {
      if (clock_ms(CLOCK_BOOTTIME) >= deadline.page->at_ms) end_sandbox("deadline");
    }
    if (!owners_check()) end_sandbox("owner");
    struct signalfd_siginfo info;
    while (p[2].revents != 0 && read(signal_fd, &info, sizeof info) > 0) continue;
    reap_again = reap();
    if (orphans && kill_tree_round(getpid(), is_own_child) == 0) orphans = false;
    if (p[3].revents != 0) accept_connection(listen_fd);
  }
}
