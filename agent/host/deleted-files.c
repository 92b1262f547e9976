/*
 * `agent deleted-files INIT PID…`, on the host: joins the user namespace of the process INIT as its root and prints the
 * bytes and the number of deleted files that the processes hold open: `BYTES FILES`. An ordinary user may not look into
 * processes with subordinate ids otherwise. Files in memory do not count, and neither do processes that are gone.
 */
#include "host/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sysexits.h>
#include <unistd.h>

struct held {
  dev_t dev;
  ino_t ino;
  uint64_t bytes;
};

struct list {
  struct held *items;
  size_t count, room;
};

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

static int proc_open(const char *pid, const char *name, int flags) {
  char path[64];
  int length = snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
  if (length < 0 || (size_t)length >= sizeof path || strchr(pid, '/') != NULL) {
    errno = EINVAL;
    return -1;
  }
  return open(path, flags | O_CLOEXEC);
}

static int join_userns(const char *init) {
  int fd = proc_open(init, "ns/user", O_RDONLY);
  if (fd < 0) return -1;
  int joined = setns(fd, CLONE_NEWUSER);
  close(fd);
  if (joined != 0) return -1;
  /* Denied if only one id is mapped; the ordinary user's groups then remain, which grant nothing more. */
  if (setgroups(0, NULL) != 0 && errno != EPERM) return -1;
  return setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0 ? -1 : 0;
}

static int add(struct list *list, const struct stat *file) {
  if (list->count == list->room) {
    size_t room = list->room == 0 ? 64 : list->room * 2;
    struct held *items = reallocarray(list->items, room, sizeof *items);
    if (items == NULL) return -1;
    list->items = items;
    list->room = room;
  }
  list->items[list->count++] =
      (struct held){.dev = file->st_dev, .ino = file->st_ino, .bytes = (uint64_t)file->st_blocks * 512};
  return 0;
}

static bool in_memory(int directory, const char *name) {
  char path[64];
  struct statfs system;
  snprintf(path, sizeof path, "/proc/self/fd/%d/%.20s", directory, name);
  return statfs(path, &system) == 0 && (system.f_type == TMPFS_MAGIC || system.f_type == HUGETLBFS_MAGIC);
}

/* The links of /proc lead to the open file itself: no name that a sandbox chose is followed. */
static int add_descriptors(struct list *list, const char *pid) {
  int fd = proc_open(pid, "fd", O_RDONLY | O_DIRECTORY);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) {
    if (fd >= 0) close(fd);
    return 0;
  }
  int failed = 0;
  for (struct dirent *entry; failed == 0 && (entry = readdir(directory)) != NULL;) {
    struct stat file;
    if (fstatat(fd, entry->d_name, &file, 0) != 0 || !S_ISREG(file.st_mode) || file.st_nlink != 0) continue;
    if (!in_memory(fd, entry->d_name)) failed = add(list, &file);
  }
  closedir(directory);
  return failed;
}

static int by_file(const void *left, const void *right) {
  const struct held *a = left, *b = right;
  if (a->dev != b->dev) return a->dev < b->dev ? -1 : 1;
  return a->ino < b->ino ? -1 : a->ino > b->ino;
}

int host_deleted_files(int argc, char **argv) {
  struct list list = {0};
  uint64_t bytes = 0;
  size_t files = 0;
  if (argc < 4) {
    fprintf(stderr, "deleted-files: no process\n");
    return EX_USAGE;
  }
  if (join_userns(argv[2]) != 0) return fail("user namespace");
  for (int at = 3; at < argc; at++)
    if (add_descriptors(&list, argv[at]) != 0) return fail("memory");
  if (list.count > 0) qsort(list.items, list.count, sizeof *list.items, by_file);
  for (size_t at = 0; at < list.count; at++) {
    if (at > 0 && by_file(&list.items[at - 1], &list.items[at]) == 0) continue;
    bytes += list.items[at].bytes;
    files++;
  }
  free(list.items);
  printf("%llu %zu\n", (unsigned long long)bytes, files);
  return 0;
}
