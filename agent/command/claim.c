/* Claims a command's directory: since mkdir fails on an existing one, an id runs once. */
#include "command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int claim_command(const char *id, const char **what) {
  *what = "mkdir";
  int all = openat(agent.dir_fd, "c", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (all < 0) return -1;
  int dir_fd = -1;
  if (mkdirat(all, id, 0755) == 0) {
    *what = "open";
    dir_fd = openat(all, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  }
  int error = errno;
  close(all);
  errno = error;
  return dir_fd;
}

/* Frees the id again, for a command that could not be started. */
void unclaim_command(int dir_fd, const char *id) {
  unlinkat(dir_fd, "socket", 0);
  unlinkat(dir_fd, "exit.new", 0);
  unlinkat(dir_fd, "00000000.log", 0);
  int all = openat(agent.dir_fd, "c", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (all < 0) return;
  unlinkat(all, id, AT_REMOVEDIR);
  close(all);
}
