/* Removes a tree. Best effort: what a program inside makes unremovable meanwhile stays. */
#include "files/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void remove_tree(int dir_fd, const char *name, int depth) {
  if (unlinkat(dir_fd, name, 0) == 0 || depth > DEPTH_MAX + 2) return;
  int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  DIR *dir = fdopendir(fd);
  if (dir == NULL) {
    close(fd);
    return;
  }
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    bool dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (!dots) remove_tree(fd, entry->d_name, depth + 1);
  }
  closedir(dir);
  unlinkat(dir_fd, name, AT_REMOVEDIR);
}
