/* Opening and sending files, and discarding uploads. */
#include "files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Checks before opening, since opening a device can have effects, and again after, since the name may be replaced. */
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

/* A larger buffer means fewer context switches on a busy machine. Best effort: net.core.wmem_max limits it. */
void enlarge_send_buffer(int fd) {
  const int bytes = 2 * 1048576;
  (void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

/* Header and body are sent together, so that the other side gets them in one read. */
bool send_file(int fd, int file, uint64_t limit, int *error) {
  static uint8_t buffer[DATA_MAX];
  const size_t capacity = sizeof buffer - FRAME_HEADER;
  *error = 0;
  while (limit > 0) {
    size_t most = limit < capacity ? (size_t)limit : capacity;
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

/* After an ERROR the client may still be sending. Reading up to its END finds the start of the next request. */
bool discard_upload(int fd, struct frame *frame) {
  for (;;) {
    enum frame_result got = frame_read(fd, frame);
    if (got == FRAME_CLOSED) return false;
    if (got == FRAME_INVALID) return send_protocol_error(fd);
    if (frame->type == ANS_END) return true;
    if (frame->type != ANS_DATA && frame->type != ANS_ENTRY) return send_protocol_error(fd);
  }
}
