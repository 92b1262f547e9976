/* The command's own process, between fork and exec. */
#include "agent.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static const char *const launch_steps[STEP_COUNT] = {"", "stdin", "output", "limits", "drop", "cwd", "terminal"};

#define REPORT_FD 3

static _Noreturn void give_up(enum launch_step step) {
  struct launch_report report = {.error = errno, .step = step};
  /* Fails only when the supervisor is gone, and then nobody asks. */
  (void)!write(REPORT_FD, &report, sizeof report);
  _exit(126);
}

/* The kernel should pick commands before the agent when memory runs out. It works without, too. */
static void offer_to_oom_killer(void) {
  int fd = openat(agent.proc_fd, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!write(fd, "300", 3);
  close(fd);
}

static void reset_signals(void) {
  struct sigaction normal = {.sa_handler = SIG_DFL};
  /* SIGKILL, SIGSTOP and those that libc keeps for itself refuse, and need none of it. */
  for (int sig = 1; sig <= SIGRTMAX; sig++) sigaction(sig, &normal, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool place_streams(int out_fd, int err_fd, int report_fd) {
  /* Clear of 0 to 3 first: each of them is a target below. */
  int out = fcntl(out_fd, F_DUPFD, 10), err = fcntl(err_fd, F_DUPFD, 10), report = fcntl(report_fd, F_DUPFD, 10);
  if (out < 0 || err < 0 || report < 0) return false;
  if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) return false;
  if (dup3(report, REPORT_FD, O_CLOEXEC) < 0) return false;
  if (syscall(SYS_close_range, REPORT_FD + 1u, ~0u, 0u) == 0) return true;
  /* Older kernels: the agent's descriptors are few and low. */
  for (int fd = REPORT_FD + 1; fd < 256; fd++) close(fd);
  return true;
}

static bool lower(int resource, rlim_t to) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return false;
  if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > to) limit.rlim_max = to;
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
  return setrlimit(resource, &limit) == 0;
}

static _Noreturn void execute(const struct command *c) {
  const char *name = c->argv.items[0];
  /* execvp looks in the PATH of the environment in force, and hands a file without `#!` to /bin/sh. */
  environ = c->env.items;
  execvp(name, c->argv.items);
  bool missing = errno == ENOENT || errno == ENOTDIR;
  dprintf(STDERR_FILENO, "%s: %s\n", name, missing ? "command not found" : strerror(errno));
  _exit(missing ? 127 : 126);
}

void launch_send_error(int client, const struct launch_report *report, const struct command *command) {
  /* It comes from a process that has become the sandbox's user: what it says is bounded. */
  int error = report->error > 0 && report->error < 4096 ? report->error : EIO;
  uint32_t step = report->step < STEP_COUNT ? report->step : STEP_NONE;
  send_error(client, error, launch_steps[step], step == STEP_CWD ? command->cwd : NULL);
}

_Noreturn void launch(const struct command *c, int tty_fd, int out_fd, int err_fd, int report_fd) {
  offer_to_oom_killer();
  reset_signals();
  int in = tty_fd >= 0 ? tty_fd : open("/dev/null", O_RDONLY | O_CLOEXEC);
  bool placed = in >= 0 && dup2(in, STDIN_FILENO) >= 0;
  int error = errno;
  if (!place_streams(out_fd, err_fd, report_fd)) _exit(126);
  errno = error;
  if (!placed) give_up(STEP_STDIN);
  /* The child is no group leader, so this cannot fail. */
  setsid();
  if (tty_fd >= 0 && ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) give_up(STEP_TERMINAL);
  if (!lower(RLIMIT_CORE, 0) || (c->nproc > 0 && !lower(RLIMIT_NPROC, c->nproc))) give_up(STEP_LIMITS);
  const char *failed = NULL;
  uid_t uid = c->sudo ? 0 : agent.uid;
  gid_t gid = c->sudo ? 0 : agent.gid;
  if (!drop_privileges(uid, gid, c->sudo != 0, &failed)) give_up(STEP_DROP);
  if (chdir(c->cwd) != 0) give_up(STEP_CWD);
  execute(c);
}
