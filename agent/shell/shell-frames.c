/* The frames of a terminal's connection: typed bytes and window sizes in, output out. Nothing here blocks. */
#include "shell/shell.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESIZE_MAX 64u

static void refuse(struct shell *s) {
  /* An answer cannot be inserted into an output frame that is being sent. */
  if (s->out_sent == s->out_len) send_error(s->client, EPROTO, "frame", NULL);
  s->closed = true;
}

static bool take_resize(struct shell *s, uint8_t *body, size_t len) {
  uint64_t cols = 0, rows = 0;
  const struct field wanted[] = {{TAG_COLS, FIELD_NUMBER, true, &cols}, {TAG_ROWS, FIELD_NUMBER, true, &rows}};
  if (!fields_read(body, len, wanted, 2)) return false;
  if (cols < 1 || cols > UINT16_MAX || rows < 1 || rows > UINT16_MAX) return false;
  /* Fails only once the terminal is hung up. */
  (void)pty_resize(s->ptm, (uint16_t)cols, (uint16_t)rows);
  return true;
}

static void discard_front(struct shell *s, size_t len) {
  s->in_len -= len;
  memmove(s->in, s->in + len, s->in_len);
}

/* False when the terminal takes no more for now. */
static bool write_typed(struct shell *s) {
  while (s->typed_at < s->typed_end && !s->reaper.ended) {
    ssize_t n = write(s->ptm, s->in + s->typed_at, s->typed_end - s->typed_at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return false;
    /* The terminal is hung up. */
    if (n <= 0) break;
    s->typed_at += (size_t)n;
  }
  discard_front(s, s->typed_end);
  s->typed_at = s->typed_end = 0;
  return true;
}

/* False when no complete frame has arrived, or it was refused. */
static bool take_frame(struct shell *s) {
  if (s->in_len < FRAME_HEADER) return false;
  uint32_t len = load_u32(s->in);
  uint8_t type = s->in[4];
  bool known = (type == ANS_DATA && len <= DATA_MAX) || (type == REQ_RESIZE && len <= RESIZE_MAX);
  if (known && s->in_len < FRAME_HEADER + len) return false;
  if (!known || (type == REQ_RESIZE && !take_resize(s, s->in + FRAME_HEADER, len))) {
    refuse(s);
    return false;
  }
  if (type == REQ_RESIZE) {
    discard_front(s, FRAME_HEADER + len);
  } else {
    s->typed_at = FRAME_HEADER;
    s->typed_end = FRAME_HEADER + len;
  }
  return true;
}

void shell_type(struct shell *s) {
  while (s->typed_end > 0 ? write_typed(s) : take_frame(s)) continue;
}

void shell_receive(struct shell *s) {
  ssize_t n = recv(s->client, s->in + s->in_len, sizeof s->in - s->in_len, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    s->closed = true;
    return;
  }
  s->in_len += (size_t)n;
  shell_type(s);
}

void shell_send(struct shell *s) {
  while (s->out_sent < s->out_len) {
    ssize_t n = send(s->client, s->out + s->out_sent, s->out_len - s->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
      s->closed = true;
      break;
    }
    s->out_sent += (size_t)n;
  }
  s->out_len = s->out_sent = 0;
}
