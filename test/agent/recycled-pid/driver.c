/*
 * Replaces a process of the tree with another one of the same pid, at a chosen moment of signal_tree. It works in user
 * and pid namespaces of its own, where clone3 can choose a pid. The kernel's calls are wrapped by the linker (--wrap).
 * usage: driver open|signal prints whether the process that got the pid is alive, and how many were signalled
 */
#include "process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define VICTIM 300

static enum { AT_OPEN, AT_SIGNAL, DONE } moment;
static int ask[2], answer[2]; /* of the process that gets the pid: echoes its input */

static _Noreturn void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static pid_t fork_as(pid_t wanted, uint64_t flags) {
  /* A sibling's exit signal is that of the caller. */
  struct clone_args args = {.exit_signal = flags == CLONE_PARENT ? 0 : SIGCHLD,
                            .set_tid = (uint64_t)(uintptr_t)&wanted,
                            .set_tid_size = 1,
                            .flags = flags};
  return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static _Noreturn void echo(void) {
  char byte;
  while (read(ask[0], &byte, 1) == 1 && write(answer[1], &byte, 1) == 1) continue;
  _exit(0);
}

/* The pid passes to a process that is not a descendant of the root but its sibling. */
static void replace(void) {
  moment = DONE;
  kill(VICTIM, SIGKILL);
  if (waitpid(VICTIM, NULL, 0) != VICTIM) die("waitpid");
  pid_t pid = fork_as(VICTIM, CLONE_PARENT);
  if (pid == 0) echo();
  if (pid != VICTIM) die("clone3");
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long), d = va_arg(list, long);
  va_end(list);
  if (number == SYS_pidfd_open && (pid_t)a == VICTIM && moment == AT_OPEN) replace();
  if (number == SYS_pidfd_send_signal && moment == AT_SIGNAL) replace();
  return __real_syscall(number, a, b, c, d);
}

int __real_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig) {
  if (pid == VICTIM && moment != DONE) replace();
  return __real_kill(pid, sig);
}

/* The root of the tree, with one child. */
static int root(void) {
  pid_t child = fork_as(VICTIM, 0);
  if (child == 0) {
    for (;;) pause();
  }
  if (child != VICTIM) die("clone3 in the root");
  printf("%u\n", signal_tree(getpid(), NULL, SIGKILL));
  return 0;
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) die(path);
  close(fd);
}

static int first_process(void) {
  if (mount("proc", "/proc", "proc", 0, NULL) != 0) die("mount /proc");
  agent.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (agent.proc_fd < 0 || pipe(ask) != 0 || pipe(answer) != 0) die("start");
  pid_t tree = fork();
  if (tree == 0) exit(root());
  int status = 0;
  char byte = 'x';
  if (waitpid(tree, &status, 0) != tree || status != 0) return 1;
  close(answer[1]);
  bool alive = write(ask[1], &byte, 1) == 1 && read(answer[0], &byte, 1) == 1;
  printf("%s\n", alive ? "alive" : "killed");
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 2) return 64;
  setvbuf(stdout, NULL, _IONBF, 0);
  moment = strcmp(argv[1], "open") == 0 ? AT_OPEN : AT_SIGNAL;
  char map[2][32];
  snprintf(map[0], sizeof map[0], "0 %u 1", (unsigned)geteuid());
  snprintf(map[1], sizeof map[1], "0 %u 1", (unsigned)getegid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) != 0) die("unshare");
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", map[0]);
  write_file("/proc/self/gid_map", map[1]);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) die("private mounts");
  pid_t first = fork();
  if (first == 0) exit(first_process());
  int status = 0;
  if (waitpid(first, &status, 0) != first) die("waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
