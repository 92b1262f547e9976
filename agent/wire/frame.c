/* Blocking input and output of a connection process: whole frames in, whole buffers out. */
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

uint32_t load_u32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t load_u64(const uint8_t *p) { return load_u32(p) | (uint64_t)load_u32(p + 4) << 32; }

void store_u32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i));
}

void store_u64(uint8_t *p, uint64_t v) {
  store_u32(p, (uint32_t)v);
  store_u32(p + 4, (uint32_t)(v >> 32));
}

uint32_t frame_limit(uint8_t type) {
  if (type == ANS_DATA) return DATA_MAX;
  if (type == ANS_END) return 0;
  if (type == ANS_ENTRY || (type >= REQ_PING && type <= REQ_LISTENERS)) return BODY_MAX;
  if (type == REQ_ATTACH || type == REQ_KILL) return BODY_MAX;
  return UINT32_MAX;
}

static enum frame_result read_exact(int fd, uint8_t *to, size_t len) {
  while (len > 0) {
    ssize_t n = recv(fd, to, len, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return FRAME_CLOSED;
    to += n;
    len -= (size_t)n;
  }
  return FRAME_OK;
}

enum frame_result frame_read(int fd, struct frame *frame) {
  uint8_t header[FRAME_HEADER];
  enum frame_result got = read_exact(fd, header, sizeof header);
  if (got != FRAME_OK) return got;
  frame->len = load_u32(header);
  frame->type = header[4];
  uint32_t limit = frame_limit(frame->type);
  if (limit == UINT32_MAX || frame->len > limit) return FRAME_INVALID;
  if (frame->len > frame->capacity || frame->body == NULL) {
    /* At least the size of a DATA body, so that a transfer allocates once. */
    uint32_t capacity = frame->len > DATA_MAX ? frame->len : DATA_MAX;
    uint8_t *body = realloc(frame->body, capacity);
    if (body == NULL) return FRAME_CLOSED;
    frame->body = body;
    frame->capacity = capacity;
  }
  return read_exact(fd, frame->body, frame->len);
}

bool send_all(int fd, const void *data, size_t len) {
  const uint8_t *p = data;
  while (len > 0) {
    ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    p += n;
    len -= (size_t)n;
  }
  return true;
}

bool write_all(int fd, const void *data, size_t len) {
  const uint8_t *p = data;
  while (len > 0) {
    ssize_t n = write(fd, p, len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      if (n == 0) errno = EIO;
      return false;
    }
    p += n;
    len -= (size_t)n;
  }
  return true;
}
