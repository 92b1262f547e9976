#include "relay/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define TOTALS_MS 100
/* Above this, intake and sniffing pause. What still may be queued then (that connections are connected, or closed) is bounded
   by their number and fits into the rest. */
#define FULL 65536u
#define QUEUE_MAX (4 * FULL)

static uint8_t queue[QUEUE_MAX];
static size_t queue_len, queue_sent;
static uint64_t reported[2];
static int64_t reported_at;

bool notify_is_full(void) { return queue_len - queue_sent >= FULL; }

static void append(const void *data, size_t len) {
  if (len > 0) memcpy(queue + queue_len, data, len);
  queue_len += len;
}

void notify(uint8_t type, const void *a, size_t a_len, const void *b, size_t b_len) {
  uint8_t header[FRAME_HEADER];
  store_u32(header, (uint32_t)(a_len + b_len));
  header[4] = type;
  if (queue_len + sizeof header + a_len + b_len > QUEUE_MAX) {
    queue_len -= queue_sent;
    memmove(queue, queue + queue_sent, queue_len);
    queue_sent = 0;
  }
  /* Only a server that sends commands and never reads gets here. */
  if (queue_len + sizeof header + a_len + b_len > QUEUE_MAX) _exit(EX_SOFTWARE);
  append(header, sizeof header);
  append(a, a_len);
  append(b, b_len);
}

void notify_number(uint8_t type, uint32_t number) {
  uint8_t body[4];
  store_u32(body, number);
  notify(type, body, sizeof body, NULL, 0);
}

static bool totals_changed(void) { return reported[0] != total_bytes[0] || reported[1] != total_bytes[1]; }

void notify_totals(void) {
  if (!totals_changed()) return;
  memcpy(reported, total_bytes, sizeof reported);
  reported_at = now_ms();
  uint8_t body[16];
  store_u64(body, reported[OUTSIDE]);
  store_u64(body + 8, reported[INSIDE]);
  notify(RELAY_TOTALS, body, sizeof body, NULL, 0);
}

bool notify_flush(void) {
  while (queue_sent < queue_len) {
    ssize_t n = send(CONTROL_FD, queue + queue_sent, queue_len - queue_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) _exit(0);
    queue_sent += (size_t)n;
  }
  queue_len = queue_sent = 0;
  return true;
}

int notify_timeout(void) {
  /* Later totals replace earlier ones: none are queued behind frames that the server has not read yet. */
  if (!totals_changed() || queue_len > 0) return -1;
  int64_t left = reported_at + TOTALS_MS - now_ms();
  if (left > 0) return (int)left;
  notify_totals();
  return notify_flush() ? -1 : 0;
}
