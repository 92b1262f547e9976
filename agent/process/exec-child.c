/* The child process between fork and exec. */
#include "process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const exec_step_names[STEP_COUNT] = {"", "stdin", "output", "limits", "drop", "cwd", "terminal"};

#define REPORT_FD 3

static _Noreturn void report_failure(enum exec_step step) {
  struct exec_failure failure = {.error = errno, .step = step};
  /* Fails only when the supervisor is gone, and then nobody needs the report. */
  (void)!write(REPORT_FD, &failure, sizeof failure);
  _exit(126);
}

/* The OOM killer should pick commands before the agent. Best effort. */
static void raise_oom_score(void) {
  int fd = openat(agent.proc_fd, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!write(fd, "300", 3);
  close(fd);
}

static void reset_signals(void) {
  struct sigaction default_action = {.sa_handler = SIG_DFL};
  /* Fails for SIGKILL, SIGSTOP and the signals that libc reserves, which need no reset. */
  for (int sig = 1; sig <= SIGRTMAX; sig++) sigaction(sig, &default_action, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool set_up_streams(int out_fd, int err_fd, int report_fd) {
  /* Move them above 0 to 3 first, since those are the targets below. */
  int out = fcntl(out_fd, F_DUPFD, 10), err = fcntl(err_fd, F_DUPFD, 10), report = fcntl(report_fd, F_DUPFD, 10);
  if (out < 0 || err < 0 || report < 0) return false;
  if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) return false;
  if (dup3(report, REPORT_FD, O_CLOEXEC) < 0) return false;
  if (syscall(SYS_close_range, REPORT_FD + 1u, ~0u, 0u) == 0) return true;
  /* Kernels without close_range: the agent has few descriptors, all of them low. */
  for (int fd = REPORT_FD + 1; fd < 256; fd++) close(fd);
  return true;
}

static _Noreturn void execute(const struct program *p) {
  const char *name = p->argv.items[0];
  /* execvp searches PATH in the environment set here, and runs a file without `#!` with /bin/sh. */
  environ = p->env.items;
  execvp(name, p->argv.items);
  bool missing = errno == ENOENT || errno == ENOTDIR;
  dprintf(STDERR_FILENO, "%s: %s\n", name, missing ? "command not found" : strerror(errno));
  _exit(missing ? 127 : 126);
}

void send_exec_failure(int client, const struct exec_failure *failure, const struct program *program) {
  /* The reporting process may already run as the sandbox's user, so its values are not trusted. */
  int error = failure->error > 0 && failure->error < 4096 ? failure->error : EIO;
  uint32_t step = failure->step < STEP_COUNT ? failure->step : STEP_NONE;
  send_error(client, error, exec_step_names[step], step == STEP_CWD ? program->cwd : NULL);
}

/* A file in memory, so that no process has to feed a pipe. */
static int open_input(const char *input) {
  if (input == NULL) return open("/dev/null", O_RDONLY | O_CLOEXEC);
  int fd = memfd_create("stdin", MFD_CLOEXEC);
  if (fd < 0) return -1;
  if (write_all(fd, input, strlen(input)) && lseek(fd, 0, SEEK_SET) == 0) return fd;
  close(fd);
  return -1;
}

_Noreturn void exec_child(const struct program *p, int tty_fd, int out_fd, int err_fd, int report_fd) {
  raise_oom_score();
  reset_signals();
  int in = tty_fd >= 0 ? tty_fd : open_input(p->input);
  bool have_stdin = in >= 0 && dup2(in, STDIN_FILENO) >= 0;
  int error = errno;
  if (!set_up_streams(out_fd, err_fd, report_fd)) _exit(126);
  errno = error;
  if (!have_stdin) report_failure(STEP_STDIN);
  /* Cannot fail: the child is not a process group leader. */
  setsid();
  if (tty_fd >= 0 && ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) report_failure(STEP_TERMINAL);
  if (!lower_limit(RLIMIT_CORE, 0) || (p->nproc > 0 && !lower_limit(RLIMIT_NPROC, p->nproc)))
    report_failure(STEP_LIMITS);
  narrow_affinity(agent.cpus);
  const char *failed = NULL;
  uid_t uid = p->sudo ? 0 : agent.uid;
  gid_t gid = p->sudo ? 0 : agent.gid;
  if (!drop_privileges(uid, gid, p->sudo != 0, &failed)) report_failure(STEP_DROP);
  if (chdir(p->cwd) != 0) report_failure(STEP_CWD);
  execute(p);
}
