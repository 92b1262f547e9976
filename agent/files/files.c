/* STAT, MKDIR and READ. */
#include "files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool read_path(struct frame *frame, char **path) {
  const struct field wanted[] = {{TAG_PATH, FIELD_STRING, true, path}};
  return fields_read(frame->body, frame->len, wanted, 1);
}

static bool send_stat(int fd, const struct stat *st) {
  struct reply r;
  char kind = file_kind(st->st_mode);
  reply_begin(&r, ANS_STAT);
  reply_bytes(&r, TAG_KIND, &kind, 1);
  reply_number(&r, TAG_SIZE, (uint64_t)st->st_size);
  reply_number(&r, TAG_MODE, st->st_mode & 07777);
  return reply_send(fd, &r);
}

bool serve_stat(int fd, struct frame *frame) {
  char *path = NULL;
  struct stat st;
  if (!read_path(frame, &path)) return send_protocol_error(fd);
  if (!path_is_absolute(path)) return send_error(fd, EINVAL, "path", path);
  if (stat(path, &st) != 0) return send_error(fd, errno, "stat", path);
  return send_stat(fd, &st);
}

bool serve_mkdir(int fd, struct frame *frame) {
  char *path = NULL;
  if (!read_path(frame, &path)) return send_protocol_error(fd);
  if (!path_is_absolute(path)) return send_error(fd, EINVAL, "path", path);
  int error = make_directories(path);
  if (error != 0) return send_error(fd, error, "mkdir", path);
  return send_empty(fd, ANS_OK);
}

bool serve_read(int fd, struct frame *frame) {
  char *path = NULL;
  uint64_t offset = 0, limit = UINT64_MAX;
  const struct field wanted[] = {{TAG_PATH, FIELD_STRING, true, &path},
                                 {TAG_OFFSET, FIELD_NUMBER, false, &offset},
                                 {TAG_LIMIT, FIELD_NUMBER, false, &limit}};
  if (!fields_read(frame->body, frame->len, wanted, 3)) return send_protocol_error(fd);
  if (!path_is_absolute(path)) return send_error(fd, EINVAL, "path", path);
  struct stat st;
  const char *what = NULL;
  int file = open_regular(AT_FDCWD, path, 0, &st, &what);
  if (file < 0) return send_error(fd, errno, what, path);
  bool alive = false;
  int error = 0;
  if (offset > INT64_MAX || (offset > 0 && lseek(file, (off_t)offset, SEEK_SET) < 0)) {
    alive = send_error(fd, EINVAL, "offset", path);
  } else {
    alive = send_stat(fd, &st) && send_file(fd, file, limit, &error);
    if (alive) alive = error != 0 ? send_error(fd, error, "read", path) : send_empty(fd, ANS_END);
  }
  close(file);
  return alive;
}
