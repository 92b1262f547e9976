/* Moves a staged tree to its target, merging it with a directory that exists there. */
#include "files/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROOT "root"
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

static DIR *open_dir(int dir_fd, const char *name) {
  int fd = openat(dir_fd, name, DIR_FLAGS);
  if (fd < 0) return NULL;
  DIR *dir = fdopendir(fd);
  if (dir == NULL) close(fd);
  return dir;
}

static const char *next_name(DIR *dir) {
  for (;;) {
    struct dirent *entry = readdir(dir);
    if (entry == NULL) return NULL;
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) return entry->d_name;
  }
}

static mode_t mode_at(int dir_fd, const char *name) {
  struct stat st;
  return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mode : 0;
}

typedef int (*pair_fn)(int from, int to, const char *name, int depth);

/* Calls `each` for every name in the staged directory, together with the directory that it goes to. */
static int for_each(int from, int to, const char *name, int depth, pair_fn each) {
  if (depth > DEPTH_MAX) return ENAMETOOLONG;
  DIR *staged = open_dir(from, name);
  if (staged == NULL) return errno;
  int target = openat(to, name, DIR_FLAGS);
  int error = target < 0 ? errno : 0;
  const char *entry;
  while (error == 0 && (entry = next_name(staged)) != NULL) error = each(dirfd(staged), target, entry, depth);
  if (target >= 0) close(target);
  closedir(staged);
  return error;
}

/* Finds conflicts before anything is moved. */
static int check(int from, int to, const char *name, int depth) {
  mode_t staged = mode_at(from, name), there = mode_at(to, name);
  if (there == 0) return 0;
  if (S_ISDIR(staged) && !S_ISDIR(there)) return ENOTDIR;
  if (!S_ISDIR(staged)) return S_ISDIR(there) ? EISDIR : 0;
  return for_each(from, to, name, depth + 1, check);
}

static int merge(int from, int to, const char *name, int depth) {
  if (S_ISDIR(mode_at(from, name)) && S_ISDIR(mode_at(to, name))) return for_each(from, to, name, depth + 1, merge);
  return renameat(from, name, to, name) == 0 ? 0 : errno;
}

static int for_root(int stage, const char *target, pair_fn each) {
  DIR *staged = open_dir(stage, ROOT);
  if (staged == NULL) return errno;
  int to = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = to < 0 ? errno : 0;
  const char *entry;
  while (error == 0 && (entry = next_name(staged)) != NULL) error = each(dirfd(staged), to, entry, 0);
  if (to >= 0) close(to);
  closedir(staged);
  return error;
}

/* Calls `each` for the directories whose mode is still to be set, children before their parents. */
static void for_read_only(struct staging *s, size_t at, int target, void (*each)(int target, char *record)) {
  if (at >= s->read_only_len) return;
  char *record = s->read_only + at;
  for_read_only(s, at + sizeof(mode_t) + strlen(record + sizeof(mode_t)) + 1, target, each);
  each(target, record);
}

static const char *record_path(const char *record) {
  const char *path = record + sizeof(mode_t);
  return path[0] == 0 ? "." : path;
}

/* An existing directory keeps its mode, which a record marks with all ones. */
static void keep_existing(int target, char *record) {
  const mode_t keep = (mode_t)-1;
  if (mode_at(target, record_path(record)) != 0) memcpy(record, &keep, sizeof keep);
}

static void restore_mode(int target, char *record) {
  mode_t mode;
  memcpy(&mode, record, sizeof mode);
  /* Best effort: a directory that a program inside has moved by now is no longer ours to change. */
  if (mode != (mode_t)-1) (void)!fchmodat(target, record_path(record), mode, 0);
}

static int commit_directory(struct staging *s) {
  int error = 0;
  if (s->target_mode != 0) {
    if (!S_ISDIR(s->target_mode)) return ENOTDIR;
    error = for_root(s->dir_fd, s->target, check);
    if (error != 0) return error;
    int before = open(s->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (before < 0) return errno;
    for_read_only(s, 0, before, keep_existing);
    close(before);
    error = for_root(s->dir_fd, s->target, merge);
  } else if (renameat(s->dir_fd, ROOT, AT_FDCWD, s->target) != 0) {
    error = errno;
  }
  if (error != 0 || s->read_only_len == 0) return error;
  int target = open(s->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (target < 0) return errno;
  for_read_only(s, 0, target, restore_mode);
  close(target);
  return 0;
}

int staging_commit(struct staging *s) {
  s->what = "entry";
  if (s->root_kind == 0) return EINVAL;
  s->what = "rename";
  if (s->root_kind == 'd') return commit_directory(s);
  if (S_ISDIR(s->target_mode)) return EISDIR;
  return renameat(s->dir_fd, ROOT, AT_FDCWD, s->target) == 0 ? 0 : errno;
}
