/*
 * `agent upper LAYER`, on the host: lists an overlay's upper layer for the engine, which trusts nothing in it. Each entry
 * is one record on standard output: `KIND MODE SIZE MTIME_NS FLAGS LENGTH `, then LENGTH bytes of the path, relative to
 * LAYER. Kinds are f (file), d (directory), l (link), w (whiteout: the name is deleted) and o (anything else). Flags are
 * c for what overlayfs copied from the layer below and q for an opaque directory, which hides that layer; - for none.
 * Directories come before their contents; nothing is followed. The record `e` ends the list: without it, it is cut off.
 */
#include "host/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <sysexits.h>
#include <unistd.h>

#define PATH_SIZE 8192
/* Each level holds a descriptor. */
#define MAX_DEPTH 400

static char path[PATH_SIZE];

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

/* By the link in /proc, because extended attributes of links and O_PATH descriptors have no other way. */
static bool has_attribute(int fd, const char *name) {
  static const char *const spaces[] = {"trusted.overlay.", "user.overlay."};
  char link[64], attribute[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  for (size_t i = 0; i < 2; i++) {
    snprintf(attribute, sizeof attribute, "%s%s", spaces[i], name);
    if (getxattr(link, attribute, NULL, 0) >= 0) return true;
  }
  return false;
}

static char kind_of(const struct stat *st) {
  if (S_ISREG(st->st_mode)) return 'f';
  if (S_ISDIR(st->st_mode)) return 'd';
  if (S_ISLNK(st->st_mode)) return 'l';
  return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0) ? 'w' : 'o';
}

static int list(int directory_fd, size_t length, int depth);

static int list_entry(int directory_fd, const char *name, size_t length, int depth) {
  size_t added = strlen(name);
  if (length + added + 2 > sizeof path) {
    errno = ENAMETOOLONG;
    return fail("path");
  }
  size_t end = length + (length > 0) + added;
  if (length > 0) path[length] = '/';
  memcpy(path + end - added, name, added + 1);
  int fd = openat(directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  /* A program in the sandbox may have removed it. */
  if (fd < 0) return errno == ENOENT ? 0 : fail("open");
  struct stat st;
  if (fstat(fd, &st) != 0) return fail("stat");
  char kind = kind_of(&st);
  const char *flags = "-";
  if (kind == 'd' && has_attribute(fd, "opaque"))
    flags = "q";
  else if (kind == 'f' && has_attribute(fd, "origin"))
    flags = "c";
  printf("%c %o %lld %lld %s %zu ", kind, (unsigned)st.st_mode & 07777, (long long)st.st_size,
         (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec, flags, end);
  fwrite(path, 1, end, stdout);
  int failed = 0;
  if (kind == 'd') {
    int below = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below >= 0)
      failed = list(below, end, depth + 1);
    else if (errno != ENOENT && errno != ENOTDIR)
      failed = fail("open");
  }
  close(fd);
  return failed;
}

/* Closes the descriptor. */
static int list(int directory_fd, size_t length, int depth) {
  if (depth > MAX_DEPTH) {
    close(directory_fd);
    errno = ELOOP;
    return fail("depth");
  }
  DIR *directory = fdopendir(directory_fd);
  if (directory == NULL) return fail("directory");
  int failed = 0;
  for (struct dirent *entry; failed == 0 && (entry = readdir(directory)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    failed = list_entry(dirfd(directory), entry->d_name, length, depth);
  }
  closedir(directory);
  return failed;
}

int host_upper(int argc, char **argv) {
  if (argc != 3) return EX_USAGE;
  int fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail(argv[2]);
  int failed = list(fd, 0, 0);
  if (failed == 0) printf("e");
  return fflush(stdout) == 0 ? failed : fail("output");
}
