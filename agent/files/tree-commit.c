/* Moves a staged tree into its place, merging it with a directory that is there; removes a stage. */
#include "agent.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

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

/* Calls `each` for every name of the staged directory, together with the directory that it goes to. */
static int for_each(int from, int to, const char *name, int depth, pair_fn each) {
  if (depth > DEPTH_MAX) return ENAMETOOLONG;
  DIR *staged = open_dir(from, name);
  if (staged == NULL) return errno;
  int place = openat(to, name, DIR_FLAGS);
  int error = place < 0 ? errno : 0;
  const char *entry;
  while (error == 0 && (entry = next_name(staged)) != NULL) error = each(dirfd(staged), place, entry, depth);
  if (place >= 0) close(place);
  closedir(staged);
  return error;
}

/* Finds what cannot be merged before anything is moved. */
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

static int for_root(int stage, const char *place, pair_fn each) {
  DIR *staged = open_dir(stage, ROOT);
  if (staged == NULL) return errno;
  int to = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = to < 0 ? errno : 0;
  const char *entry;
  while (error == 0 && (entry = next_name(staged)) != NULL) error = each(dirfd(staged), to, entry, 0);
  if (to >= 0) close(to);
  closedir(staged);
  return error;
}

/* Calls `each` for the directories that wait for their mode, the last one first: parents come before children. */
static void for_closed(struct stage *s, size_t at, int place, void (*each)(int place, char *record)) {
  if (at >= s->closed_len) return;
  char *record = s->closed + at;
  for_closed(s, at + sizeof(mode_t) + strlen(record + sizeof(mode_t)) + 1, place, each);
  each(place, record);
}

static const char *record_path(const char *record) {
  const char *path = record + sizeof(mode_t);
  return path[0] == 0 ? "." : path;
}

/* A directory that was there before keeps its mode; all ones stand for that. */
static void keep_existing(int place, char *record) {
  const mode_t keep = (mode_t)-1;
  if (mode_at(place, record_path(record)) != 0) memcpy(record, &keep, sizeof keep);
}

static void close_directory(int place, char *record) {
  mode_t mode;
  memcpy(&mode, record, sizeof mode);
  /* The tree is complete; somebody inside who moved a directory away by now has changed it himself. */
  if (mode != (mode_t)-1) (void)!fchmodat(place, record_path(record), mode, 0);
}

static int place_directory(struct stage *s) {
  int error = 0;
  if (s->place_mode != 0) {
    if (!S_ISDIR(s->place_mode)) return ENOTDIR;
    error = for_root(s->dir_fd, s->place, check);
    if (error != 0) return error;
    int before = open(s->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (before < 0) return errno;
    for_closed(s, 0, before, keep_existing);
    close(before);
    error = for_root(s->dir_fd, s->place, merge);
  } else if (renameat(s->dir_fd, ROOT, AT_FDCWD, s->place) != 0) {
    error = errno;
  }
  if (error != 0 || s->closed_len == 0) return error;
  int place = open(s->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (place < 0) return errno;
  for_closed(s, 0, place, close_directory);
  close(place);
  return 0;
}

int tree_place(struct stage *s) {
  s->what = "entry";
  if (s->root_kind == 0) return EINVAL;
  s->what = "rename";
  if (s->root_kind == 'd') return place_directory(s);
  if (S_ISDIR(s->place_mode)) return EISDIR;
  return renameat(s->dir_fd, ROOT, AT_FDCWD, s->place) == 0 ? 0 : errno;
}

/* Best effort: what somebody inside has made unremovable meanwhile is his own to keep. */
void tree_remove(int dir_fd, const char *name, int depth) {
  if (unlinkat(dir_fd, name, 0) == 0 || depth > DEPTH_MAX + 2) return;
  DIR *dir = open_dir(dir_fd, name);
  if (dir == NULL) return;
  const char *entry;
  while ((entry = next_name(dir)) != NULL) tree_remove(dirfd(dir), entry, depth + 1);
  closedir(dir);
  unlinkat(dir_fd, name, AT_REMOVEDIR);
}
