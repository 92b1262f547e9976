/*
 * Copies bytes between the two ends of a connection. Large reads are faster than splice(2), which works page by page.
 * No call may block, whatever flags the sandbox sets on its copy of a descriptor: hence MSG_DONTWAIT everywhere.
 */
#include "relay/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SCRATCH 524288u
#define SNIFF_CHUNK 16384u
#define READS_PER_TURN 4
/*
 * When all buffers together hold more than this, further reads are small: one sandbox must not use up the host's
 * memory.
 */
#define BUFFERED_MAX (32u << 20)
#define SMALL_READ 16384u

static size_t buffered;
static uint8_t scratch[SCRATCH];

bool buffer_append(struct direction *d, const uint8_t *bytes, size_t len) {
  if (len == 0) return true;
  uint8_t *buffer = realloc(d->buffer, d->len + len);
  if (buffer == NULL) return false;
  memcpy(buffer + d->len, bytes, len);
  d->buffer = buffer;
  d->len += len;
  buffered += len;
  return true;
}

void buffer_free(struct direction *d) {
  buffered -= d->len;
  free(d->buffer);
  d->buffer = NULL;
  d->len = d->sent = 0;
}

/* Sends as much as the other end accepts. False: the connection is broken. */
static bool send_some(int fd, const uint8_t *bytes, size_t len, size_t *sent) {
  while (*sent < len) {
    ssize_t n = send(fd, bytes + *sent, len - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    *sent += (size_t)n;
  }
  return true;
}

static bool flush(struct direction *d, int to) {
  if (d->buffer == NULL) return true;
  if (!send_some(to, d->buffer, d->len, &d->sent)) return false;
  if (d->sent == d->len) buffer_free(d);
  return true;
}

static size_t read_size(void) {
  size_t most = buffered > BUFFERED_MAX ? SMALL_READ : SCRATCH;
  uint64_t left = quota - (total_bytes[0] + total_bytes[1]);
  return left < most ? (size_t)left : most;
}

/* False: the connection is broken. */
static bool copy_direction(struct connection *c, int side) {
  struct direction *d = &c->from[side];
  int from = c->end[side].fd, to = c->end[1 - side].fd;
  if (!flush(d, to)) return false;
  for (int i = 0; i < READS_PER_TURN && !d->eof && d->buffer == NULL && !quota_exceeded(); i++) {
    size_t most = read_size(), sent = 0;
    ssize_t n = recv(from, scratch, most, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
      d->eof = true;
      return true;
    }
    count_bytes(c, side, (size_t)n);
    if (!send_some(to, scratch, (size_t)n, &sent) || !buffer_append(d, scratch + sent, (size_t)n - sent)) return false;
    /* A short read has emptied the socket; epoll reports when there is more. */
    if ((size_t)n < most) return true;
  }
  return true;
}

static bool may_sniff(const struct direction *d) { return !d->eof && d->len < SNIFF_MAX && !notify_is_full(); }

/* Reads what the program sends, keeps it, and shows it to the server. */
bool copy_sniff(struct connection *c) {
  struct direction *d = &c->from[INSIDE];
  if (!may_sniff(d)) return true;
  ssize_t n = recv(c->end[INSIDE].fd, scratch, SNIFF_CHUNK, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) d->eof = true;
  if (!buffer_append(d, scratch, (size_t)n)) return false;
  uint8_t id[4];
  store_u32(id, c->id);
  notify(RELAY_SNIFFED, id, sizeof id, scratch, (size_t)n);
  return true;
}

/* Passes an end of stream on, once everything before it has been sent. */
static void send_eof(struct connection *c, int side) {
  struct direction *d = &c->from[side];
  if (d->eof_sent || !d->eof || d->buffer != NULL) return;
  shutdown(c->end[1 - side].fd, SHUT_WR);
  d->eof_sent = true;
}

/* What to wait for on one end. */
uint32_t copy_events(const struct connection *c, int side) {
  const struct direction *from = &c->from[side], *to = &c->from[1 - side];
  bool sniffing = side == INSIDE && (c->state == STATE_SNIFFING || c->held);
  if (c->state == STATE_WAITING || c->state == STATE_CONNECTING) return 0;
  uint32_t events = 0;
  if (sniffing ? may_sniff(from) : !from->eof && (c->state == STATE_CLOSING || from->buffer == NULL)) events |= EPOLLIN;
  if (to->buffer != NULL && !(side == OUTSIDE && c->held)) events |= EPOLLOUT;
  return events;
}

enum copy_result copy_both(struct connection *c) {
  bool ok = c->held ? copy_sniff(c) : copy_direction(c, INSIDE);
  if (!ok || !copy_direction(c, OUTSIDE)) return COPY_RESET;
  if (quota_exceeded()) return COPY_QUOTA;
  for (int side = 0; side < 2; side++) {
    /* An end that has hung up accepts nothing more. */
    if (!c->end[side].hung_up || !c->from[side].eof) continue;
    buffer_free(&c->from[1 - side]);
    c->from[1 - side].eof = c->from[1 - side].eof_sent = true;
  }
  if (!c->held) send_eof(c, INSIDE);
  send_eof(c, OUTSIDE);
  if (!c->from[INSIDE].eof_sent || !c->from[OUTSIDE].eof_sent) return COPY_CONTINUE;
  return c->one_way && !c->end[INSIDE].hung_up ? COPY_DRAIN : COPY_CLOSE;
}

enum copy_result copy_final(struct connection *c) {
  struct direction *last = &c->from[OUTSIDE], *discarded = &c->from[INSIDE];
  int fd = c->end[INSIDE].fd;
  if (!flush(last, fd)) return COPY_RESET;
  send_eof(c, OUTSIDE);
  for (int i = 0; !discarded->eof && i < READS_PER_TURN; i++) {
    ssize_t n = recv(fd, scratch, SCRATCH, MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return COPY_RESET;
    if (n < 0) break;
    discarded->eof = n == 0;
  }
  return last->eof_sent && discarded->eof ? COPY_CLOSE : COPY_CONTINUE;
}
