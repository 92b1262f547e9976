/* Room process: starting, reaping and killing processes, and giving up privileges. */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/wire.h"

/* agent.c: what every process of the agent inherits from PID 1 */
struct agent {
  int dir_fd;  /* the agent directory on the host */
  int proc_fd; /* /proc as it was before any user code ran */
  uid_t uid;
  gid_t gid;
  unsigned cpus; /* how many processors programs shall count; 0: all */
};
extern struct agent agent;

/* drop-privileges.c */
bool drop_privileges(uid_t uid, gid_t gid, bool keep_capabilities, const char **failed);
/* The same with another real user, where that id exists in the sandbox. */
bool drop_privileges_as(uid_t counted_as, uid_t uid, gid_t gid, bool keep_capabilities, const char **failed);

/* program.c: what a command or a terminal runs */
struct program {
  struct string_list argv, env;
  char *cwd;
  char *input; /* what it reads from standard input; NULL: nothing */
  uint64_t sudo, nproc;
};
const char *invalid_program_field(const struct program *program); /* its name, or NULL */

/* exec-child.c */
enum exec_step { STEP_NONE, STEP_STDIN, STEP_OUTPUT, STEP_LIMITS, STEP_DROP, STEP_CWD, STEP_TERMINAL, STEP_COUNT };
struct exec_failure {
  int32_t error;
  uint32_t step;
};
void send_exec_failure(int client, const struct exec_failure *failure, const struct program *program);
/* `tty_fd` becomes standard input and the controlling terminal; -1 for none. */
_Noreturn void exec_child(const struct program *program, int tty_fd, int out_fd, int err_fd, int report_fd);

/* reap.c: the children of a subreaper, which is a command's or a terminal's supervisor */
struct reaper {
  int signal_fd; /* readable when a child has ended */
  pid_t first;   /* the program's own process */
  bool ended;    /* whether `first` has ended; `status` then says how */
  int status;
  int64_t ended_mono; /* when it was reaped, on the clock of `now_ms` */
  bool children;      /* false once no descendant is left */
  bool again;         /* there may be more to reap without waiting */
};
bool reaper_open(struct reaper *r, const char **what);
void reaper_clear_signal(const struct reaper *r); /* empties `signal_fd` */
void reap_children(struct reaper *r);
void reap_first(const struct reaper *r); /* waits for it */

/* kill-tree.c: all descendants of `root`, but not `root` itself nor the children that `exclude` names */
typedef bool (*exclude_fn)(pid_t pid);
unsigned signal_tree(pid_t root, exclude_fn exclude, int sig);
/* Stops every descendant, then kills them. Returns how many were found alive. */
unsigned kill_tree_round(pid_t root, exclude_fn exclude);
void kill_tree_begin(void);
size_t kill_tree_count(void); /* processes killed by the rounds since kill_tree_begin */

/* pidfd.c */
int pidfd_open_process(pid_t pid); /* -1 if the process is gone or the kernel has no pidfds */
/* Signals the process that `pidfd` refers to, or `pid` if `pidfd` is -1. */
int signal_process(int pidfd, pid_t pid, int sig);

/*
 * processors.c: allows this process as many processors as given, from the one it runs on, so that processes spread
 * over all of them. For programs that count them by sched_getaffinity(2) and not by the quota of the cgroup, such as
 * Node 20. It is no limit, since any program may undo it; failures are ignored.
 */
void narrow_affinity(unsigned count);

/* Lowers a resource limit, hard and soft; one that is lower already stays. */
bool lower_limit(int resource, uint64_t to);

#endif
