/* The environment of the driver: a separate root directory, user and network. */
#include "stand-ins.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

static bool write_to(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write_all(fd, value, strlen(value));
  close(fd);
  return written;
}

/* The frames choose the paths, so the given directory is the whole file system that they can name. */
void confine(const char *directory) {
  char map[2][32];
  /* Without a mapped id no file can be created. */
  snprintf(map[0], sizeof map[0], "0 %u 1", (unsigned)geteuid());
  snprintf(map[1], sizeof map[1], "0 %u 1", (unsigned)getegid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0) die("unshare");
  if (!write_to("/proc/self/setgroups", "deny") || !write_to("/proc/self/uid_map", map[0])) die("map");
  if (!write_to("/proc/self/gid_map", map[1])) die("map");
  if (chroot(directory) != 0 || chdir("/") != 0) die("chroot");
}
