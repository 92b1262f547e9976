/* Builds a received tree in a staging directory that only its owner can enter. */
#include "files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROOT "root"
#define TIMES "times"
#define MODES "modes"
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

int staging_open(struct staging *s, const char *text) {
  char path[sizeof s->target];
  struct stat st;
  if (!path_is_absolute(text)) return EINVAL;
  snprintf(path, sizeof path, "%s", text);
  for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--) path[len - 1] = 0;
  s->what = "mkdir";
  int error = make_parents(path);
  if (error != 0) return error;
  s->what = "stat";
  error = resolve_links(path, s->target, sizeof s->target, &st);
  if (error != 0) return error;
  s->target_mode = st.st_mode;
  s->what = "not_regular";
  if (st.st_mode != 0 && !S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) return EINVAL;
  /* Inside an existing target directory: its parent may belong to another user or be on another file system. */
  char inside[sizeof s->target + 2];
  bool is_root = s->target[1] == 0;
  snprintf(inside, sizeof inside, "%s%s", s->target, S_ISDIR(st.st_mode) && !is_root ? "/" : "");
  s->what = "stage";
  temporary_name(inside, s->path, sizeof s->path);
  if (s->path[0] == 0) return ENAMETOOLONG;
  if (mkdir(s->path, 0700) != 0) {
    error = errno;
    s->path[0] = 0;
    return error;
  }
  s->dir_fd = open(s->path, DIR_FLAGS);
  return s->dir_fd < 0 ? errno : 0;
}

static struct timespec time_of(uint64_t ms) {
  return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

/* Records of directories are kept in files: a tree may have any number of them. */
static int open_records(struct staging *s, FILE **records, const char *name) {
  if (*records != NULL) return 0;
  int fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  *records = fdopen(fd, "w+");
  if (*records != NULL) return 0;
  int error = errno;
  close(fd);
  return error;
}

/* A record is the time, then the path with its end. */
static int remember_time(struct staging *s, const struct entry *e) {
  if (e->mtime_ms == NO_TIME) return 0;
  int error = open_records(s, &s->times, TIMES);
  if (error != 0) return error;
  bool written = fwrite(&e->mtime_ms, sizeof e->mtime_ms, 1, s->times) == 1 &&
                 fwrite(e->path, strlen(e->path) + 1, 1, s->times) == 1;
  return written ? 0 : errno;
}

static int remember_mode(struct staging *s, const struct entry *e) {
  int error = open_records(s, &s->modes, MODES);
  if (error != 0) return error;
  const struct mode_record record = {.mode = e->mode, .path_len = (uint16_t)strlen(e->path)};
  bool written = fwrite(e->path, 1, record.path_len, s->modes) == record.path_len &&
                 fwrite(&record, sizeof record, 1, s->modes) == 1;
  return written ? 0 : errno;
}

/* A directory that its owner could not write to, or that could not be renamed, gets its own mode at the very end. */
static int make_directory(struct staging *s, int parent, const char *name, const struct entry *e) {
  s->what = "mkdir";
  if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST) return errno;
  int fd = openat(parent, name, DIR_FLAGS);
  if (fd < 0) return errno;
  int error = fchmod(fd, e->mode | 0700) == 0 ? 0 : errno;
  close(fd);
  if (error == 0) error = remember_time(s, e);
  return error != 0 || (e->mode & 0700) == 0700 ? error : remember_mode(s, e);
}

static int make_file(struct staging *s, int parent, const char *name, const struct entry *e) {
  s->what = "create";
  s->file = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (s->file < 0) return errno;
  s->file_mode = e->mode;
  s->file_mtime_ms = e->mtime_ms;
  s->files++;
  return 0;
}

static int make_entry(struct staging *s, int parent, const char *name, const struct entry *e) {
  if (e->kind == 'd') return make_directory(s, parent, name, e);
  if (e->kind == 'f') return make_file(s, parent, name, e);
  s->what = "symlink";
  return symlinkat(e->link, parent, name) == 0 ? 0 : errno;
}

/* Walks down name by name without following links, so that a link in the tree cannot lead later entries out of the staging
   directory. Creates missing directories. Returns a descriptor, or -1. */
static int open_parent(struct staging *s, const char *path, size_t len) {
  int fd = openat(s->dir_fd, ROOT, DIR_FLAGS);
  for (size_t at = 0; fd >= 0 && at < len;) {
    char name[256];
    size_t size = strcspn(path + at, "/");
    snprintf(name, sizeof name, "%.*s", (int)size, path + at);
    int next = openat(fd, name, DIR_FLAGS);
    if (next < 0 && errno == ENOENT && mkdirat(fd, name, 0755) == 0) next = openat(fd, name, DIR_FLAGS);
    int error = errno;
    close(fd);
    errno = error;
    fd = next;
    at += size + 1;
  }
  return fd;
}

int staging_add(struct staging *s, const struct entry *e) {
  s->what = "entry";
  if (e->path[0] == 0) {
    if (s->root_kind != 0) return EEXIST;
    s->root_kind = e->kind;
    return make_entry(s, s->dir_fd, ROOT, e);
  }
  if (s->root_kind != 'd') return EINVAL;
  const char *slash = strrchr(e->path, '/');
  size_t len = slash == NULL ? 0 : (size_t)(slash - e->path);
  bool same = s->parent_fd >= 0 && strlen(s->parent_path) == len && memcmp(s->parent_path, e->path, len) == 0;
  if (!same) {
    if (s->parent_fd >= 0) close(s->parent_fd);
    s->parent_fd = open_parent(s, e->path, len);
    if (s->parent_fd < 0) return errno;
    memcpy(s->parent_path, e->path, len);
    s->parent_path[len] = 0;
  }
  return make_entry(s, s->parent_fd, slash == NULL ? e->path : slash + 1, e);
}

int staging_write(struct staging *s, const uint8_t *data, size_t len) {
  s->what = "write";
  s->bytes += len;
  return write_all(s->file, data, len) ? 0 : errno;
}

int staging_end_file(struct staging *s) {
  if (s->file < 0) return 0;
  s->what = "write";
  int error = fchmod(s->file, s->file_mode) == 0 ? 0 : errno;
  if (error == 0 && s->file_mtime_ms != NO_TIME) {
    const struct timespec times[2] = {time_of(s->file_mtime_ms), time_of(s->file_mtime_ms)};
    if (futimens(s->file, times) != 0) error = errno;
  }
  if (close(s->file) != 0 && error == 0) error = errno;
  s->file = -1;
  return error;
}

int staging_set_times(struct staging *s) {
  if (s->times == NULL) return 0;
  s->what = "write";
  if (fflush(s->times) != 0 || fseek(s->times, 0, SEEK_SET) != 0) return errno;
  int root = openat(s->dir_fd, ROOT, DIR_FLAGS);
  if (root < 0) return errno;
  uint64_t ms;
  int error = 0;
  while (error == 0 && fread(&ms, sizeof ms, 1, s->times) == 1) {
    char path[4096];
    size_t len = 0;
    int byte;
    while (len < sizeof path - 1 && (byte = getc(s->times)) > 0) path[len++] = (char)byte;
    path[len] = 0;
    const struct timespec times[2] = {time_of(ms), time_of(ms)};
    if (utimensat(root, len == 0 ? "." : path, times, AT_SYMLINK_NOFOLLOW) != 0) error = errno;
  }
  if (error == 0 && ferror(s->times)) error = EIO;
  close(root);
  return error;
}

void staging_discard(struct staging *s) {
  if (s->file >= 0) close(s->file);
  if (s->parent_fd >= 0) close(s->parent_fd);
  if (s->dir_fd >= 0) close(s->dir_fd);
  if (s->times != NULL) fclose(s->times);
  if (s->modes != NULL) fclose(s->modes);
  s->file = s->parent_fd = s->dir_fd = -1;
  s->times = s->modes = NULL;
  if (s->path[0] != 0) remove_tree(AT_FDCWD, s->path, 0);
  s->path[0] = 0;
}
