/* Moves a staged tree to its target, merging it with a directory that exists there. */
#include "files/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

typedef void (*mode_fn)(int target, const char *path, struct mode_record *record);

/*
 * Calls `each` for the directories whose mode is still to be set, children before their parents, and keeps what it
 * changes of their records.
 */
static int for_read_only(struct staging *s, int target, mode_fn each) {
  if (fflush(s->modes) != 0) return errno;
  int file = fileno(s->modes);
  for (off_t end = lseek(file, 0, SEEK_END); end > 0;) {
    struct mode_record record;
    char path[PATH_MAX];
    const ssize_t size = sizeof record;
    if (pread(file, &record, sizeof record, end - size) != size) return EIO;
    if (record.path_len >= sizeof path || end - size < record.path_len) return EIO;
    end -= size + record.path_len;
    if (pread(file, path, record.path_len, end) != record.path_len) return EIO;
    path[record.path_len] = 0;
    each(target, path[0] == 0 ? "." : path, &record);
    if (pwrite(file, &record, sizeof record, end + record.path_len) != size) return errno;
  }
  return 0;
}

/* Marks a record: this directory existed, and keeps its mode. */
#define KEEP ((mode_t)-1)

static void keep_existing(int target, const char *path, struct mode_record *record) {
  if (mode_at(target, path) != 0) record->mode = KEEP;
}

static void restore_mode(int target, const char *path, struct mode_record *record) {
  /* Best effort: a directory that a program inside has moved by now is no longer ours to change. */
  if (record->mode != KEEP) (void)!fchmodat(target, path, record->mode, 0);
}

static int for_read_only_in(struct staging *s, mode_fn each) {
  if (s->modes == NULL) return 0;
  int target = open(s->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (target < 0) return errno;
  int error = for_read_only(s, target, each);
  close(target);
  return error;
}

static int commit_directory(struct staging *s) {
  int error = 0;
  if (s->target_mode != 0) {
    if (!S_ISDIR(s->target_mode)) return ENOTDIR;
    error = for_root(s->dir_fd, s->target, check);
    if (error != 0) return error;
    error = for_read_only_in(s, keep_existing);
    if (error == 0) error = for_root(s->dir_fd, s->target, merge);
  } else if (renameat(s->dir_fd, ROOT, AT_FDCWD, s->target) != 0) {
    error = errno;
  }
  return error != 0 ? error : for_read_only_in(s, restore_mode);
}

int staging_commit(struct staging *s) {
  s->what = "entry";
  if (s->root_kind == 0) return EINVAL;
  s->what = "rename";
  if (s->root_kind == 'd') return commit_directory(s);
  if (S_ISDIR(s->target_mode)) return EISDIR;
  return renameat(s->dir_fd, ROOT, AT_FDCWD, s->target) == 0 ? 0 : errno;
}
