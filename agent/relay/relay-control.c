/* The connection to the server: what it says is obeyed, what happens is told. Its end is the end of this process. */
#include "agent.h"
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define TOTALS_MS 100

static void control_ready(struct source *source, uint32_t events);

static struct source server = {.ready = control_ready, .fd = CARRY_CONTROL_FD};
static uint8_t pending[FRAME_HEADER + CARRY_BODY_MAX];
static size_t pending_len;
static uint64_t told[2];
static int64_t told_at;

bool carry_control_begin(void) { return carry_add(&server, EPOLLIN); }

/* Waits until the server has room for it: nothing is to be moved that it does not hear of. */
static void say(const void *data, size_t len) {
  if (len > 0 && !send_all(CARRY_CONTROL_FD, data, len)) _exit(0);
}

void carry_tell(uint8_t type, const void *a, size_t a_len, const void *b, size_t b_len) {
  uint8_t frame[FRAME_HEADER + 64];
  store_u32(frame, (uint32_t)(a_len + b_len));
  frame[4] = type;
  if (a_len > 0) memcpy(frame + FRAME_HEADER, a, a_len);
  bool small = b_len <= 32;
  if (small && b_len > 0) memcpy(frame + FRAME_HEADER + a_len, b, b_len);
  say(frame, FRAME_HEADER + a_len + (small ? b_len : 0));
  if (!small) say(b, b_len);
}

void carry_tell_number(uint8_t type, uint32_t number) {
  uint8_t body[4];
  store_u32(body, number);
  carry_tell(type, body, sizeof body, NULL, 0);
}

void carry_tell_totals(void) {
  if (told[0] == carry_totals[0] && told[1] == carry_totals[1]) return;
  memcpy(told, carry_totals, sizeof told);
  told_at = now_ms();
  uint8_t body[16];
  store_u64(body, told[OUTSIDE]);
  store_u64(body + 8, told[INSIDE]);
  carry_tell(CARRY_TOTALS, body, sizeof body, NULL, 0);
}

/* How long the loop may wait, in ms; tells the totals when they are due. */
int carry_totals_due(void) {
  if (told[0] == carry_totals[0] && told[1] == carry_totals[1]) return -1;
  int64_t left = told_at + TOTALS_MS - now_ms();
  if (left > 0) return (int)left;
  carry_tell_totals();
  return -1;
}

static void set_limit(uint64_t limit) {
  carry_limit = limit;
  if (!carry_spent()) return;
  carry_tell(CARRY_SPENT, NULL, 0, NULL, 0);
  carry_cut_all();
}

static void obey_link(uint8_t type, const uint8_t *body, size_t len) {
  struct link *l = carry_link(load_u32(body));
  /* It may have ended while the server was deciding. */
  if (l == NULL) return;
  body += 4;
  len -= 4;
  if (type == CARRY_LOOK) carry_look(l);
  if (type == CARRY_DIAL && len >= 7) carry_dial(l, body, body[6], body + 7, len - 7);
  if (type == CARRY_RELEASE) carry_release(l);
  if (type == CARRY_TAKE) carry_take(l);
  if (type == CARRY_END) carry_end(l, body, len);
  if (type == CARRY_CUT) carry_bury(l, true);
}

static void obey(uint8_t type, const uint8_t *body, size_t len) {
  if (type == CARRY_LISTEN) {
    carry_listen();
  } else if (type == CARRY_WATCH) {
    carry_watch_successor();
  } else if (type == CARRY_LIMIT && len == 8) {
    set_limit(load_u64(body));
  } else if (type == CARRY_ANSWER && len >= 8) {
    carry_answer(body, len);
  } else if (len >= 4) {
    obey_link(type, body, len);
  }
}

static void control_ready(struct source *source, uint32_t events) {
  (void)events;
  ssize_t got = recv(source->fd, pending + pending_len, sizeof pending - pending_len, MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) _exit(0);
  if (got > 0) pending_len += (size_t)got;
  size_t at = 0;
  while (pending_len - at >= FRAME_HEADER) {
    size_t len = load_u32(pending + at);
    if (len > CARRY_BODY_MAX) _exit(70);
    if (pending_len - at < FRAME_HEADER + len) break;
    obey(pending[at + 4], pending + at + FRAME_HEADER, len);
    at += FRAME_HEADER + len;
  }
  pending_len -= at;
  memmove(pending, pending + at, pending_len);
  if (!carry_watch(source, EPOLLIN)) _exit(70);
}
