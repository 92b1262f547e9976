/*
 * The control connection: receives the server's commands, sends it the queued notifications. The process ends with it.
 */
#include "relay/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

static void control_ready(struct source *source, uint32_t events);

static struct source server = {.ready = control_ready, .fd = CONTROL_FD};
static uint8_t received[FRAME_HEADER + CONTROL_BODY_MAX];
static size_t received_len;
static bool paused;

bool control_open(void) { return loop_add(&server, EPOLLIN); }

static void set_quota(uint64_t bytes) {
  quota = bytes;
  if (!quota_exceeded()) return;
  notify(RELAY_QUOTA_EXCEEDED, NULL, 0, NULL, 0);
  connections_reset_all();
}

static void command_connection(uint8_t type, const uint8_t *body, size_t len) {
  struct connection *c = connection_find(load_u32(body));
  /* The connection may have closed while the server was deciding. */
  if (c == NULL) return;
  body += 4;
  len -= 4;
  if (type == RELAY_SNIFF) connection_sniff(c);
  if (type == RELAY_CONNECT && len >= 7) connection_connect(c, body, body[6], body + 7, len - 7);
  if (type == RELAY_RELEASE) connection_release(c);
  if (type == RELAY_INTERCEPT) connection_intercept(c);
  if (type == RELAY_RESPOND) connection_respond(c, body, len);
  if (type == RELAY_RESET) connection_close(c, true);
}

static void execute(uint8_t type, const uint8_t *body, size_t len) {
  if (type == RELAY_LISTEN) {
    listener_open();
  } else if (type == RELAY_WATCH_SUCCESSOR) {
    listener_watch_successor();
  } else if (type == RELAY_QUOTA && len == 8) {
    set_quota(load_u64(body));
  } else if (type == RELAY_DNS_ANSWER && len >= 8) {
    intake_dns_answer(body, len);
  } else if (len >= 4) {
    command_connection(type, body, len);
  }
}

static void control_ready(struct source *source, uint32_t events) {
  (void)events;
  ssize_t n = recv(source->fd, received + received_len, sizeof received - received_len, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) _exit(0);
  if (n > 0) received_len += (size_t)n;
  size_t at = 0;
  while (received_len - at >= FRAME_HEADER) {
    size_t len = load_u32(received + at);
    if (len > CONTROL_BODY_MAX) _exit(EX_SOFTWARE);
    if (received_len - at < FRAME_HEADER + len) break;
    execute(received[at + 4], received + at + FRAME_HEADER, len);
    at += FRAME_HEADER + len;
  }
  received_len -= at;
  memmove(received, received + at, received_len);
}

void control_turn_end(void) {
  paused = paused || notify_is_full();
  bool flushed = notify_flush();
  if (paused && flushed) {
    paused = false;
    intake_resume();
    connections_resume();
    flushed = notify_flush();
  }
  if (!loop_watch(&server, flushed ? EPOLLIN : EPOLLIN | EPOLLOUT)) _exit(EX_SOFTWARE);
}
