/* STAT, MKDIR, READ. */
#include "agent.h"

#include <string.h>
#include <sys/socket.h>

static bool read_path(struct frame *frame, char **path) {
  const struct field wanted[] = {{TAG_PATH, FIELD_TEXT, true, path}};
  return fields_read(frame->body, frame->len, wanted, 1);
}

static bool send_stat(int fd, const struct stat *st) {
  struct reply r;
  char kind = kind_of(st->st_mode);
  reply_begin(&r, ANS_STAT);
  reply_bytes(&r, TAG_KIND, &kind, 1);
  reply_number(&r, TAG_SIZE, (uint64_t)st->st_size);
  reply_number(&r, TAG_MODE, st->st_mode & 07777);
  int64_t mtime_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
  reply_number(&r, TAG_MTIME_MS, mtime_ms > 0 ? (uint64_t)mtime_ms : 0);
  return reply_send(fd, &r);
}

bool serve_stat(int fd, struct frame *frame) {
  char *path = NULL;
  struct stat st;
  if (!read_path(frame, &path)) return garbage(fd);
  if (!path_is_absolute(path)) return send_error(fd, EINVAL, "path", path);
  if (stat(path, &st) != 0) return send_error(fd, errno, "stat", path);
  return send_stat(fd, &st);
}

bool serve_mkdir(int fd, struct frame *frame) {
  char *path = NULL;
  if (!read_path(frame, &path)) return garbage(fd);
  if (!path_is_absolute(path)) return send_error(fd, EINVAL, "path", path);
  int error = make_directories(path);
  if (error != 0) return send_error(fd, error, "mkdir", path);
  return send_empty(fd, ANS_OK);
}

/* Looks before it opens, since opening a device can do something, and again after, since names can be swapped. */
int open_regular(int dir_fd, const char *name, int extra_flags, struct stat *st, const char **what) {
  *what = "stat";
  if (fstatat(dir_fd, name, st, extra_flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) != 0) return -1;
  if (S_ISREG(st->st_mode)) {
    *what = "open";
    int file = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | extra_flags);
    if (file < 0) return -1;
    if (fstat(file, st) == 0 && S_ISREG(st->st_mode)) return file;
    close(file);
  }
  *what = "not_regular";
  errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
  return -1;
}

/* The fewer times both sides have to wait for each other, the better on a machine that is busy. The kernel grants what its
   own limit (net.core.wmem_max) allows; where it grants nothing more, a transfer is as right and only slower. */
void widen_sending(int fd) {
  const int bytes = 2 * 1048576;
  (void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

/* A frame with its header is what the other side reads at once, so that it comes in one piece and not in two. */
bool send_file(int fd, int file, uint64_t limit, int *error) {
  static uint8_t buffer[DATA_MAX];
  const size_t room = sizeof buffer - FRAME_HEADER;
  *error = 0;
  while (limit > 0) {
    size_t most = limit < room ? (size_t)limit : room;
    ssize_t n = read(file, buffer + FRAME_HEADER, most);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) *error = errno;
    if (n <= 0) return true;
    store_u32(buffer, (uint32_t)n);
    buffer[4] = ANS_DATA;
    if (!send_all(fd, buffer, FRAME_HEADER + (size_t)n)) return false;
    limit -= (uint64_t)n;
  }
  return true;
}

bool serve_read(int fd, struct frame *frame) {
  char *path = NULL;
  uint64_t offset = 0, limit = UINT64_MAX;
  const struct field wanted[] = {{TAG_PATH, FIELD_TEXT, true, &path},
                                 {TAG_OFFSET, FIELD_NUMBER, false, &offset},
                                 {TAG_LIMIT, FIELD_NUMBER, false, &limit}};
  if (!fields_read(frame->body, frame->len, wanted, 3)) return garbage(fd);
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
