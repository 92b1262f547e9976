/*
 * Builds answers and events. Fields that do not fit are truncated: only paths and links of the sandbox are that long.
 */
#include "wire/wire.h"

#include <errno.h>
#include <string.h>

void reply_begin(struct reply *r, uint8_t type) {
  r->len = FRAME_HEADER;
  r->bytes[4] = type;
}

void reply_bytes(struct reply *r, uint8_t tag, const void *data, size_t len) {
  if (r->len + 5 > REPLY_MAX) return;
  if (len > REPLY_MAX - r->len - 5) len = REPLY_MAX - r->len - 5;
  r->bytes[r->len] = tag;
  store_u32(r->bytes + r->len + 1, (uint32_t)len);
  if (len > 0) memcpy(r->bytes + r->len + 5, data, len);
  r->len += 5 + len;
}

void reply_number(struct reply *r, uint8_t tag, uint64_t value) {
  uint8_t bytes[8];
  store_u64(bytes, value);
  reply_bytes(r, tag, bytes, sizeof bytes);
}

void reply_string(struct reply *r, uint8_t tag, const char *text) { reply_bytes(r, tag, text, strlen(text)); }

void reply_end(struct reply *r) { store_u32(r->bytes, (uint32_t)(r->len - FRAME_HEADER)); }

bool reply_send(int fd, struct reply *r) {
  reply_end(r);
  return send_all(fd, r->bytes, r->len);
}

void reply_error(struct reply *r, int error, const char *what, const char *path) {
  reply_begin(r, ANS_ERROR);
  reply_number(r, TAG_ERRNO, (uint64_t)error);
  reply_string(r, TAG_WHAT, what);
  if (path != NULL) reply_string(r, TAG_ERROR_PATH, path);
  reply_end(r);
}

bool send_error(int fd, int error, const char *what, const char *path) {
  struct reply r;
  reply_error(&r, error, what, path);
  return send_all(fd, r.bytes, r.len);
}

bool send_protocol_error(int fd) {
  send_error(fd, EPROTO, "frame", NULL);
  return false;
}

bool send_empty(int fd, uint8_t type) {
  struct reply r;
  reply_begin(&r, type);
  return reply_send(fd, &r);
}
