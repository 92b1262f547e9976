/*
 * The limits that a user namespace has of its own (/proc/sys/user, namespaces(7)). A new namespace has none: what its
 * users take is bounded by the limit of its owner alone, who may be a user of the host. They are lowered in a sandbox's
 * namespace before any of its programs runs. Nothing inside may raise them: /proc/sys is read-only there, and nobody has
 * CAP_SYS_RESOURCE.
 */
#include "host/host.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of what a user of the host may have, each user of a sandbox gets this share. */
#define SHARE 2

static const char *const LIMITED[] = {"max_inotify_instances", "max_inotify_watches", "max_fanotify_groups",
                                      "max_fanotify_marks"};
#define LIMITED_COUNT (sizeof LIMITED / sizeof *LIMITED)

/* The namespace that the file belongs to is that of the process which opens it. */
static FILE *open_limit(const char *name, const char *mode) {
  char path[64];
  snprintf(path, sizeof path, "/proc/sys/user/%s", name);
  return fopen(path, mode);
}

static long host_limit(const char *name) {
  long limit = -1;
  FILE *file = open_limit(name, "re");
  if (file == NULL) return -1;
  if (fscanf(file, "%ld", &limit) != 1) limit = -1;
  fclose(file);
  return limit;
}

static int open_userns(const char *pid_file) {
  long pid = 0;
  FILE *file = fopen(pid_file, "re");
  if (file == NULL) return -1;
  bool found = fscanf(file, "%ld", &pid) == 1 && pid > 0;
  fclose(file);
  if (!found) return -1;
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld/ns/user", pid);
  return open(path, O_RDONLY | O_CLOEXEC);
}

/* In a child. A kernel without one of the limits, or a host that may not set them, is as it was. */
static void set_limits(int userns_fd) {
  long limits[LIMITED_COUNT];
  for (size_t i = 0; i < LIMITED_COUNT; i++) limits[i] = host_limit(LIMITED[i]);
  if (setns(userns_fd, CLONE_NEWUSER) != 0) return;
  for (size_t i = 0; i < LIMITED_COUNT; i++) {
    FILE *file = limits[i] < SHARE ? NULL : open_limit(LIMITED[i], "we");
    if (file == NULL) continue;
    fprintf(file, "%ld\n", limits[i] / SHARE);
    fclose(file);
  }
}

void limit_users(const char *pid_file) {
  int userns_fd = open_userns(pid_file);
  if (userns_fd < 0) return;
  pid_t pid = fork();
  if (pid == 0) {
    set_limits(userns_fd);
    _exit(0);
  }
  close(userns_fd);
  if (pid > 0) waitpid(pid, NULL, 0);
}
