/*
 * Moves bytes between the two ends of a connection. By copying: large reads beat splice(2), which cuts everything into pages.
 * No call here may wait, whatever the sandbox has set on its copy of a descriptor: hence MSG_DONTWAIT each time.
 */
#include "agent.h"
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SCRATCH 524288u
#define LOOK_CHUNK 16384u
#define ROUNDS_A_TURN 4
/* Above this, little is read at once from whoever's other end does not take it: the rest of memory is not theirs. */
#define KEPT_ENOUGH (32u << 20)
#define SMALL_READ 16384u

uint64_t carry_totals[2];
uint64_t carry_limit = UINT64_MAX;
static size_t kept_bytes;
static uint8_t scratch[SCRATCH];

bool carry_spent(void) { return carry_totals[0] + carry_totals[1] >= carry_limit; }

void carry_count(struct link *l, int side, size_t bytes) {
  l->bytes[side] += bytes;
  carry_totals[side] += bytes;
}

/* Appends. */
bool carry_keep(struct half *h, const uint8_t *bytes, size_t len) {
  if (len == 0) return true;
  uint8_t *kept = realloc(h->kept, h->len + len);
  if (kept == NULL) return false;
  memcpy(kept + h->len, bytes, len);
  h->kept = kept;
  h->len += len;
  kept_bytes += len;
  return true;
}

void carry_forget(struct half *h) {
  kept_bytes -= h->len;
  free(h->kept);
  h->kept = NULL;
  h->len = h->sent = 0;
}

/* Sends as much as the other end takes. False: it is broken. */
static bool send_some(int fd, const uint8_t *bytes, size_t len, size_t *sent) {
  while (*sent < len) {
    ssize_t n = send(fd, bytes + *sent, len - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    *sent += (size_t)n;
  }
  return true;
}

static bool flush(struct half *h, int to) {
  if (h->kept == NULL) return true;
  if (!send_some(to, h->kept, h->len, &h->sent)) return false;
  if (h->sent == h->len) carry_forget(h);
  return true;
}

static size_t read_size(void) {
  size_t most = kept_bytes > KEPT_ENOUGH ? SMALL_READ : SCRATCH;
  uint64_t left = carry_limit - (carry_totals[0] + carry_totals[1]);
  return left < most ? (size_t)left : most;
}

/* One direction. False: the connection has broken. */
static bool move(struct link *l, int side) {
  struct half *h = &l->from[side];
  int from = l->end[side].fd, to = l->end[1 - side].fd;
  if (!flush(h, to)) return false;
  for (int i = 0; i < ROUNDS_A_TURN && !h->ended && h->kept == NULL && !carry_spent(); i++) {
    size_t most = read_size(), sent = 0;
    ssize_t n = recv(from, scratch, most, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
      h->ended = true;
      return true;
    }
    carry_count(l, side, (size_t)n);
    if (!send_some(to, scratch, (size_t)n, &sent) || !carry_keep(h, scratch + sent, (size_t)n - sent)) return false;
    /* A short read has emptied the socket: epoll tells when there is more. */
    if ((size_t)n < most) return true;
  }
  return true;
}

/* Shows the server what the program sends, and keeps it. False: the connection has broken. */
bool carry_look_on(struct link *l) {
  struct half *h = &l->from[INSIDE];
  if (h->ended || h->len >= CARRY_LOOK_MAX) return true;
  ssize_t n = recv(l->end[INSIDE].fd, scratch, LOOK_CHUNK, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) h->ended = true;
  if (!carry_keep(h, scratch, (size_t)n)) return false;
  uint8_t id[4];
  store_u32(id, l->id);
  carry_tell(CARRY_SENT, id, sizeof id, scratch, (size_t)n);
  return true;
}

static void half_close(struct link *l, int side) {
  struct half *h = &l->from[side];
  if (h->told || !h->ended || h->kept != NULL) return;
  shutdown(l->end[1 - side].fd, SHUT_WR);
  h->told = true;
}

static uint32_t wanted(const struct link *l, int side) {
  const struct half *out = &l->from[side], *in = &l->from[1 - side];
  uint32_t events = 0;
  bool looking = side == INSIDE && l->held;
  if (!out->ended && (looking ? out->len < CARRY_LOOK_MAX : out->kept == NULL)) events |= EPOLLIN;
  if (in->kept != NULL && !(side == OUTSIDE && l->held)) events |= EPOLLOUT;
  return events;
}

/* Both directions, as far as they go without waiting. */
void carry_move(struct link *l) {
  bool whole = l->held ? carry_look_on(l) : move(l, INSIDE);
  if (!whole || !move(l, OUTSIDE)) {
    carry_bury(l, true);
    return;
  }
  if (carry_spent()) {
    carry_tell(CARRY_SPENT, NULL, 0, NULL, 0);
    carry_cut_all();
    return;
  }
  for (int side = 0; side < 2; side++) {
    /* An end that is gone altogether takes nothing more. */
    if (!l->end[side].gone || !l->from[side].ended) continue;
    carry_forget(&l->from[1 - side]);
    l->from[1 - side].ended = l->from[1 - side].told = true;
  }
  if (!l->held) half_close(l, INSIDE);
  half_close(l, OUTSIDE);
  if (l->from[INSIDE].told && l->from[OUTSIDE].told) {
    if (l->one_way && !l->end[INSIDE].gone) {
      /* Closing on what was not read would take back what the program has not got yet. */
      carry_close(&l->end[OUTSIDE]);
      l->from[INSIDE].ended = false;
      l->state = LINK_ENDING;
      carry_finish(l);
    } else {
      carry_bury(l, false);
    }
    return;
  }
  for (int side = 0; side < 2; side++) {
    if (!carry_watch(&l->end[side], wanted(l, side))) {
      carry_bury(l, true);
      return;
    }
  }
}

/* The last words to the program, then its end of them. */
void carry_finish(struct link *l) {
  struct half *words = &l->from[OUTSIDE], *rest = &l->from[INSIDE];
  int fd = l->end[INSIDE].fd;
  bool whole = flush(words, fd);
  if (whole) half_close(l, OUTSIDE);
  for (int i = 0; whole && !rest->ended && i < ROUNDS_A_TURN; i++) {
    ssize_t n = recv(fd, scratch, SCRATCH, MSG_DONTWAIT);
    if (n < 0) {
      whole = errno == EAGAIN || errno == EINTR;
      break;
    }
    rest->ended = n == 0;
  }
  if (!whole || (words->told && rest->ended)) {
    carry_bury(l, !whole);
    return;
  }
  uint32_t events = (rest->ended ? 0 : EPOLLIN) | (words->kept != NULL ? EPOLLOUT : 0);
  if (!carry_watch(&l->end[INSIDE], events)) carry_bury(l, true);
}
