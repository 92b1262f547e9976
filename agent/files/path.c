/* Paths of the sandbox. */
#include "files/files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

bool path_is_absolute(const char *path) { return path != NULL && path[0] == '/'; }

char file_kind(mode_t mode) {
  if (S_ISREG(mode)) return 'f';
  if (S_ISDIR(mode)) return 'd';
  return S_ISLNK(mode) ? 'l' : 'o';
}

uint64_t file_mtime_ms(const struct stat *st) {
  int64_t ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
  return ms > 0 ? (uint64_t)ms : 0;
}

static bool is_directory(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int make_directories(const char *path) {
  char copy[PATH_MAX];
  size_t len = strlen(path);
  if (len >= sizeof copy) return ENAMETOOLONG;
  if (is_directory(path)) return 0;
  memcpy(copy, path, len + 1);
  for (char *p = copy + 1;; p++) {
    if (*p != '/' && *p != 0) continue;
    char end = *p;
    *p = 0;
    if (mkdir(copy, 0777) != 0) {
      int error = errno;
      /* Whatever mkdir reports, a directory that exists is fine. */
      if (!is_directory(copy)) return error;
    }
    if (end == 0) return 0;
    *p = end;
  }
}

int make_parents(const char *path) {
  char copy[PATH_MAX];
  size_t len = strlen(path);
  if (len >= sizeof copy) return ENAMETOOLONG;
  memcpy(copy, path, len + 1);
  char *slash = strrchr(copy, '/');
  if (slash == NULL || slash == copy) return 0;
  *slash = 0;
  return make_directories(copy);
}

int resolve_links(const char *path, char *out, size_t size, struct stat *st) {
  size_t len = strlen(path);
  if (len >= size) return ENAMETOOLONG;
  memcpy(out, path, len + 1);
  for (int hop = 0; hop < SYMLINKS_MAX; hop++) {
    char link[PATH_MAX];
    if (lstat(out, st) != 0) {
      st->st_mode = 0;
      return errno == ENOENT ? 0 : errno;
    }
    if (!S_ISLNK(st->st_mode)) return 0;
    ssize_t n = readlink(out, link, sizeof link - 1);
    if (n < 0) return errno;
    link[n] = 0;
    char *slash = strrchr(out, '/');
    size_t keep = link[0] == '/' || slash == NULL ? 0 : (size_t)(slash - out) + 1;
    if (keep + (size_t)n >= size) return ENAMETOOLONG;
    memcpy(out + keep, link, (size_t)n + 1);
  }
  return ELOOP;
}

void temporary_name(const char *path, char *out, size_t size) {
  uint64_t random = 0;
  /* Without randomness names may repeat, which O_EXCL catches. */
  if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) random = (uint64_t)now_ms();
  const char *slash = strrchr(path, '/');
  int dir = slash == NULL ? 0 : (int)(slash - path) + 1;
  int n = snprintf(out, size, "%.*s.sandbox-%016llx", dir, path, (unsigned long long)random);
  if (n < 0 || (size_t)n >= size) out[0] = 0;
}
