/* Packs many small records into DATA frames. */
#include "files/files.h"

#include <string.h>

void stream_begin(struct record_stream *s, int fd) {
  s->fd = fd;
  s->len = FRAME_HEADER;
  s->open = true;
}

bool stream_flush(struct record_stream *s) {
  if (!s->open || s->len == FRAME_HEADER) return s->open;
  store_u32(s->bytes, (uint32_t)(s->len - FRAME_HEADER));
  s->bytes[4] = ANS_DATA;
  s->open = send_all(s->fd, s->bytes, s->len);
  s->len = FRAME_HEADER;
  return s->open;
}

void stream_bytes(struct record_stream *s, const void *data, size_t len) {
  const uint8_t *from = data;
  while (len > 0 && s->open) {
    size_t room = sizeof s->bytes - s->len;
    size_t n = len < room ? len : room;
    memcpy(s->bytes + s->len, from, n);
    s->len += n;
    from += n;
    len -= n;
    if (s->len == sizeof s->bytes) stream_flush(s);
  }
}

void stream_u8(struct record_stream *s, uint8_t value) { stream_bytes(s, &value, 1); }

void stream_u32(struct record_stream *s, uint32_t value) {
  uint8_t bytes[4];
  store_u32(bytes, value);
  stream_bytes(s, bytes, sizeof bytes);
}

void stream_u64(struct record_stream *s, uint64_t value) {
  uint8_t bytes[8];
  store_u64(bytes, value);
  stream_bytes(s, bytes, sizeof bytes);
}
