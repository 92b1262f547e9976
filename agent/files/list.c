/* LIST: the entries of directories, sorted by their bytes. Memory is bounded by the limit, not by the directory. */
#include "files/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIST_MAX 100000u
#define IGNORE_FILE ".gitignore"
#define IGNORE_MAX 32768u

struct listed {
  char *name;
  unsigned char type; /* of readdir */
};

struct listing {
  struct listed *items; /* room for twice the limit: the larger half is dropped whenever it is full */
  size_t count, limit;
  const char *largest; /* of `limit` smaller ones; names after it are not kept */
  uint32_t total;      /* names after `after` */
  bool has_git, has_ignore;
};

static int compare(const void *a, const void *b) {
  return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

static void keep_smallest(struct listing *l) {
  qsort(l->items, l->count, sizeof l->items[0], compare);
  while (l->count > l->limit) free(l->items[--l->count].name);
  if (l->count == l->limit && l->limit > 0) l->largest = l->items[l->limit - 1].name;
}

static void listing_free(struct listing *l) {
  for (size_t i = 0; i < l->count; i++) free(l->items[i].name);
  free(l->items);
}

/* Returns 0 or an errno. */
static int listing_add(struct listing *l, const struct dirent *entry, const char *after) {
  const char *name = entry->d_name;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return 0;
  if (strcmp(name, ".git") == 0) l->has_git = true;
  if (strcmp(name, IGNORE_FILE) == 0) l->has_ignore = true;
  if (after != NULL && strcmp(name, after) <= 0) return 0;
  l->total++;
  if (l->limit == 0 || (l->largest != NULL && strcmp(name, l->largest) > 0)) return 0;
  char *copy = strdup(name);
  if (copy == NULL) return ENOMEM;
  l->items[l->count++] = (struct listed){copy, entry->d_type};
  if (l->count == 2 * l->limit) keep_smallest(l);
  return 0;
}

static int listing_read(struct listing *l, DIR *dir, const char *after) {
  l->items = calloc(2 * l->limit + 1, sizeof l->items[0]);
  if (l->items == NULL) return ENOMEM;
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(dir);
    if (entry == NULL && errno != 0) return errno;
    if (entry == NULL) break;
    int error = listing_add(l, entry, after);
    if (error != 0) return error;
  }
  keep_smallest(l);
  return 0;
}

static char kind_of(unsigned char type) {
  if (type == DT_REG) return 'f';
  if (type == DT_DIR) return 'd';
  return type == DT_LNK ? 'l' : 'o';
}

static void send_listed(struct record_stream *s, int dir_fd, const struct listed *item, bool details) {
  struct stat st = {0};
  bool known = false;
  if (details || item->type == DT_UNKNOWN) known = fstatat(dir_fd, item->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
  stream_u8(s, (uint8_t)(known ? file_kind(st.st_mode) : kind_of(item->type)));
  stream_u64(s, known && st.st_size > 0 ? (uint64_t)st.st_size : 0);
  stream_u64(s, known ? file_mtime_ms(&st) : 0);
  stream_bytes(s, item->name, strlen(item->name) + 1);
}

/* The start of the directory's .gitignore, as a length and its bytes. */
static void send_ignore_file(struct record_stream *s, int dir_fd, bool wanted) {
  static uint8_t text[IGNORE_MAX];
  struct stat st;
  const char *what = NULL;
  size_t len = 0;
  int file = wanted ? open_regular(dir_fd, IGNORE_FILE, O_NOFOLLOW, &st, &what) : -1;
  while (file >= 0 && len < sizeof text) {
    ssize_t n = read(file, text + len, sizeof text - len);
    if (n <= 0) break;
    len += (size_t)n;
  }
  if (file >= 0) close(file);
  stream_u32(s, (uint32_t)len);
  stream_bytes(s, text, len);
}

/* A record for a directory that cannot be listed has only its errno. */
static void send_directory(struct record_stream *s, const char *path, const char *after, size_t limit, bool details) {
  struct listing l = {.limit = limit};
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  int error = dir == NULL ? errno : listing_read(&l, dir, after);
  stream_u32(s, (uint32_t)error);
  if (error == 0) {
    stream_u32(s, (uint32_t)l.count);
    stream_u32(s, l.total - (uint32_t)l.count);
    stream_u8(s, l.has_git);
    send_ignore_file(s, fd, l.has_ignore);
    for (size_t i = 0; i < l.count && s->open; i++) send_listed(s, fd, &l.items[i], details);
  }
  listing_free(&l);
  if (dir != NULL)
    closedir(dir);
  else if (fd >= 0)
    close(fd);
}

bool serve_list(int fd, struct frame *frame) {
  static struct record_stream s;
  struct string_list paths = {0};
  char *after = NULL;
  uint64_t limit = 0, details = 0;
  const struct field wanted[] = {{TAG_PATHS, FIELD_STRINGS, true, &paths},
                                 {TAG_AFTER, FIELD_STRING, false, &after},
                                 {TAG_LIMIT, FIELD_NUMBER, true, &limit},
                                 {TAG_DETAILS, FIELD_NUMBER, false, &details}};
  if (!fields_read(frame->body, frame->len, wanted, 4)) return send_protocol_error(fd);
  stream_begin(&s, fd);
  for (size_t i = 0; i < paths.count && s.open; i++) {
    const char *path = paths.items[i];
    if (path_is_absolute(path))
      send_directory(&s, path, after, limit < LIST_MAX ? (size_t)limit : LIST_MAX, details != 0);
    else
      stream_u32(&s, EINVAL);
  }
  free(paths.items);
  return stream_flush(&s) && send_empty(fd, ANS_END);
}
