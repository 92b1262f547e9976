/*
 * `agent launch [OPTION…] PROGRAM ARGS…`, on the host: runs the OCI runtime and makes sure that an unfinished start
 * leaves no process behind. Runtimes fork and change their session; this process is the subreaper of all of that. On
 * SIGTERM, from the server or from the kernel when the server has died, it kills everything the runtime has started so
 * far. Once the runtime has succeeded, the container keeps running without it.
 *
 *   --user-limits FILE       once the runtime has succeeded, lower the limits of the user namespace of the process that
 *                            FILE names (see user-limits.c)
 *   --nice N                 run the runtime and its container with a priority that is lower by N
 *   --hide-unified           hide the unified cgroup hierarchy of a hybrid host
 *   --ids BASE SIZE OWNER    make a user namespace with the sandbox's ids on the host, which belongs to the user OWNER
 *   --userns PATH            make that namespace reachable at PATH, an empty file, for the runtime
 *   --map SOURCE TARGET      mount a directory of the host at TARGET, read-only and idmapped to the sandbox's ids
 *   --disk-ids BASE          the ids on disk of what the state directory keeps for sandboxes; --ids comes before
 *   --map-disk SOURCE TARGET ro|rw
 *                            mount a directory of the state directory at TARGET, idmapped from these to the sandbox's ids
 *   --workspace UIDS GIDS OWNER TARGET ro|rw
 *                            mount the directory of descriptor 5 at TARGET with its ids mapped by UIDS and GIDS, the
 *                            lines of id maps; the namespace that this takes belongs to the user OWNER
 *   --workspace-mask SOURCE TARGET
 *                            mount the directory SOURCE at TARGET with the same ids
 *   --overlay TARGET LAYERS  mount an overlay of these directories; relative paths start at the working directory
 *
 * --user-limits and --nice come first; the others apply in order. Only the runtime and its container see the mounts.
 */
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "process/process.h"

#define ROUND_NS 1000000
#define WORKSPACE_FD 5

/* At most: queued signals; bytes of POSIX message queues (the kernel's default); bytes of locked memory. */
#define SIGPENDING_MAX 16384u
#define MSGQUEUE_MAX 819200u
#define MEMLOCK_MAX (64u << 20)

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

/* crun refuses hybrid cgroups; without this mount it sees only version 1. */
static int hide_unified(void) {
  if (umount2("/sys/fs/cgroup/unified", MNT_DETACH) != 0) return fail("hide the unified cgroup");
  return 0;
}

/* User namespaces, as descriptors; -1 until an option makes one. */
struct id_maps {
  /* Those of the sandbox; from the disk's to the sandbox's; from those of a workspace to the sandbox's. */
  int sandbox, disk, workspace;
  /* BASE, SIZE and OWNER of --ids. */
  char **ids;
};

static int make_sandbox_ids(struct id_maps *maps, char **argv) {
  maps->ids = argv;
  maps->sandbox = create_userns(argv[0], argv[1], argv[2]);
  return maps->sandbox < 0 ? fail("user namespace") : 0;
}

static int make_disk_ids(struct id_maps *maps, const char *disk_base) {
  if (maps->ids == NULL) return EX_USAGE;
  maps->disk = create_disk_userns(disk_base, maps->ids[0], maps->ids[1], maps->ids[2]);
  return maps->disk < 0 ? fail("user namespace of the disk") : 0;
}

static void close_maps(const struct id_maps *maps) {
  if (maps->sandbox >= 0) close(maps->sandbox);
  if (maps->disk >= 0) close(maps->disk);
  if (maps->workspace >= 0) close(maps->workspace);
}

/* Whether the caller has opened a workspace. */
static bool wants_workspace(int argc, char **argv) {
  for (int i = 2; i < argc; i++)
    if (strcmp(argv[i], "--workspace") == 0) return true;
  return false;
}

/* The runtime does not get the workspace itself, only its mount. */
static int mount_workspace(char **argv, int tree, int *userns_fd) {
  *userns_fd = create_userns_with_maps(argv[0], argv[1], argv[2]);
  if (*userns_fd < 0) return fail("user namespace of the workspace");
  int failed = mount_idmapped_tree(*userns_fd, tree, argv[3], strcmp(argv[4], "rw") == 0);
  return failed;
}

static int lower_priority(const char *by) {
  int increment = 0;
  if (sscanf(by, "%d", &increment) != 1) return EX_USAGE;
  errno = 0;
  return nice(increment) == -1 && errno != 0 ? fail("priority") : 0;
}

/* The file with the pid of the container's first process; NULL: its namespace keeps its limits. */
static const char *user_limits_of;

/* The options that an ordinary user may give too. Returns the index of what follows, or 0 after a failure. */
static int apply_first_options(int argc, char **argv) {
  int at = 2;
  for (; argc - at > 1; at += 2) {
    if (strcmp(argv[at], "--user-limits") == 0)
      user_limits_of = argv[at + 1];
    else if (strcmp(argv[at], "--nice") != 0)
      break;
    else if (lower_priority(argv[at + 1]) != 0)
      return 0;
  }
  return at;
}

/* Returns the index of the program in `argv`, or 0 after a failure. */
static int apply_options(int argc, char **argv) {
  int at = apply_first_options(argc, argv), failed = 0, tree = -1;
  struct id_maps maps = {.sandbox = -1, .disk = -1, .workspace = -1};
  if (at == 0) return 0;
  if (wants_workspace(argc, argv)) {
    /* Before the namespace changes: a descriptor from another mount namespace cannot be cloned. */
    tree = clone_tree(WORKSPACE_FD);
    close(WORKSPACE_FD);
    if (tree < 0) return fail("workspace"), 0;
  }
  if (at < argc && strncmp(argv[at], "--", 2) == 0 && unshare_mounts() != 0) return 0;
  for (; failed == 0 && at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
    if (strcmp(argv[at], "--hide-unified") == 0) {
      failed = hide_unified();
    } else if (argc - at > 3 && strcmp(argv[at], "--ids") == 0) {
      failed = make_sandbox_ids(&maps, argv + at + 1);
      at += 3;
    } else if (argc - at > 1 && strcmp(argv[at], "--disk-ids") == 0) {
      failed = make_disk_ids(&maps, argv[at + 1]);
      at += 1;
    } else if (argc - at > 1 && strcmp(argv[at], "--userns") == 0) {
      failed = bind_namespace(maps.sandbox, argv[at + 1]);
      at += 1;
    } else if (argc - at > 2 && strcmp(argv[at], "--map") == 0) {
      failed = mount_idmapped(maps.sandbox, argv[at + 1], argv[at + 2], false);
      at += 2;
    } else if (argc - at > 3 && strcmp(argv[at], "--map-disk") == 0) {
      failed = mount_idmapped(maps.disk, argv[at + 1], argv[at + 2], strcmp(argv[at + 3], "rw") == 0);
      at += 3;
    } else if (argc - at > 5 && strcmp(argv[at], "--workspace") == 0) {
      failed = mount_workspace(argv + at + 1, tree, &maps.workspace);
      at += 5;
    } else if (argc - at > 2 && strcmp(argv[at], "--workspace-mask") == 0) {
      failed = mount_idmapped(maps.workspace, argv[at + 1], argv[at + 2], false);
      at += 2;
    } else if (argc - at > 2 && strcmp(argv[at], "--overlay") == 0) {
      failed = mount_overlay(argv[at + 1], argv[at + 2]);
      at += 2;
    } else {
      fprintf(stderr, "launch: unknown option %s\n", argv[at]);
      failed = EX_USAGE;
    }
  }
  close_maps(&maps);
  return failed == 0 ? at : 0;
}

/*
 * Limits of what the kernel counts by user. A user namespace keeps those of its creator for all of its users together,
 * so that they are lowered before one is made. The kernel compares them with what the owner of the namespace has in all:
 * half of it is left to an owner who is a user of the host.
 */
static bool lower_to_half(int resource, uint64_t most) {
  struct rlimit now;
  if (getrlimit(resource, &now) != 0) return false;
  uint64_t half = now.rlim_cur == RLIM_INFINITY ? most : now.rlim_cur / 2;
  return lower_limit(resource, half < most ? half : most);
}

static bool lower_user_limits(void) {
  return lower_to_half(RLIMIT_SIGPENDING, SIGPENDING_MAX) && lower_to_half(RLIMIT_MSGQUEUE, MSGQUEUE_MAX) &&
         lower_limit(RLIMIT_MEMLOCK, MEMLOCK_MAX);
}

static bool any_child_left(void) {
  for (;;) {
    pid_t pid = waitpid(-1, NULL, WNOHANG);
    if (pid == 0) return true;
    if (pid < 0 && errno != EINTR) return false;
  }
}

/* Repeated for what a round misses: a process that is being forked, a setuid helper that may not be signalled. */
static void kill_descendants(void) {
  const struct timespec pause = {.tv_nsec = ROUND_NS};
  while (any_child_left()) {
    kill_tree_round(getpid(), NULL);
    nanosleep(&pause, NULL);
  }
}

static int wait_for_runtime(pid_t runtime, const sigset_t *watched) {
  for (;;) {
    int sig = sigwaitinfo(watched, NULL);
    if (sig == SIGTERM) {
      kill_descendants();
      return 128 + SIGTERM;
    }
    int status = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
      if (pid != runtime) continue;
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
      kill_descendants();
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
  }
}

/*
 * Gives the runtime an empty pipe as its standard input. crun 1.8.1 changes the owner of its standard input to the root
 * of the container, and if that is /dev/null, a sandbox would own the host's.
 */
static bool empty_input(void) {
  int ends[2];
  if (pipe(ends) != 0) return false;
  bool done = dup2(ends[0], STDIN_FILENO) >= 0;
  if (ends[0] != STDIN_FILENO) close(ends[0]);
  close(ends[1]);
  return done;
}

int host_launch(int argc, char **argv) {
  pid_t parent = getppid();
  sigset_t watched, before;
  sigemptyset(&watched);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGCHLD);
  /* Blocked before the kernel can send it: if the signal ended this process, the runtime would run unsupervised. */
  if (sigprocmask(SIG_BLOCK, &watched, &before) != 0) return fail("sigprocmask");
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return fail("subreaper");
  if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return fail("prctl");
  /* The parent may have died before PR_SET_PDEATHSIG. */
  if (getppid() != parent) return EX_SOFTWARE;
  if (!empty_input()) return fail("standard input");
  if (!lower_user_limits()) return fail("limits");
  int at = apply_options(argc, argv);
  if (at == 0) return EX_SOFTWARE;
  if (at >= argc) {
    fprintf(stderr, "launch: no program\n");
    return EX_USAGE;
  }
  agent.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (agent.proc_fd < 0) return fail("/proc");
  pid_t runtime = fork();
  if (runtime < 0) return fail("fork");
  if (runtime == 0) {
    sigprocmask(SIG_SETMASK, &before, NULL);
    execv(argv[at], argv + at);
    _exit(fail(argv[at]));
  }
  int failed = wait_for_runtime(runtime, &watched);
  if (failed == 0 && user_limits_of != NULL) limit_users(user_limits_of);
  return failed;
}
