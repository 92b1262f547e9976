/*
 * Redirected connections. Each becomes a connection to the gateway that starts with the original destination; the gateway's
 * first byte is its verdict (`G` go on, `R` reset), and after a `G` both are one stream. No verdict, no gateway: reset.
 */
#include "agent.h"
#include "egress.h"

#include <netinet/in.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX 1024
#define ACCEPTS_A_TURN 32
#define ROUNDS_A_TURN 4
#define SCRATCH 131072

enum { INSIDE, GATEWAY };

struct link;
struct end {
  struct link *link;
  int side, fd;
  uint32_t watched;
};

/* What was read from one end and is on its way to the other. */
struct half {
  uint8_t *kept; /* what the other end did not take yet */
  size_t len, sent;
  bool ended;
};

struct link {
  struct end end[2];
  struct half from[2];
  bool open, dead;
  struct link *next_dead;
};

static int epoll;
static size_t connections;
static struct link *dead_links;
static uint8_t scratch[SCRATCH];

void egress_tcp_begin(int epoll_fd) { epoll = epoll_fd; }

static void reset(int fd) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

static void bury(struct link *l, bool abruptly) {
  if (l->dead) return;
  l->dead = true;
  if (abruptly) {
    reset(l->end[INSIDE].fd);
  } else {
    close(l->end[INSIDE].fd);
  }
  close(l->end[GATEWAY].fd);
  free(l->from[0].kept);
  free(l->from[1].kept);
  l->next_dead = dead_links;
  dead_links = l;
  connections--;
}

void egress_tcp_turn_end(void) {
  while (dead_links != NULL) {
    struct link *l = dead_links;
    dead_links = l->next_dead;
    free(l);
  }
}

static bool watch(struct end *e, uint32_t events) {
  if (e->watched == events) return true;
  struct epoll_event event = {.events = events, .data = {.ptr = e}};
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, e->fd, &event) != 0) return false;
  e->watched = events;
  return true;
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
  if (h->sent < h->len) return true;
  free(h->kept);
  h->kept = NULL;
  return true;
}

static bool keep(struct half *h, const uint8_t *bytes, size_t len) {
  h->kept = malloc(len);
  if (h->kept == NULL) return false;
  memcpy(h->kept, bytes, len);
  h->len = len;
  h->sent = 0;
  return true;
}

/* One direction. False: the connection has broken, or was refused. */
static bool move(struct link *l, int side) {
  struct half *h = &l->from[side];
  int from = l->end[side].fd, to = l->end[1 - side].fd;
  if (!flush(h, to)) return false;
  for (int i = 0; i < ROUNDS_A_TURN && !h->ended && h->kept == NULL; i++) {
    ssize_t n = recv(from, scratch, sizeof scratch, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
      h->ended = true;
      return l->open || side == INSIDE;
    }
    const uint8_t *bytes = scratch;
    size_t len = (size_t)n, sent = 0;
    if (side == GATEWAY && !l->open) {
      if (scratch[0] != 'G') return false;
      l->open = true;
      bytes++;
      len--;
    }
    if (!send_some(to, bytes, len, &sent)) return false;
    if (sent < len && !keep(h, bytes + sent, len - sent)) return false;
  }
  return true;
}

static void half_close(struct link *l, int side, bool *told) {
  if (*told || !l->from[side].ended || l->from[side].kept != NULL) return;
  shutdown(l->end[1 - side].fd, SHUT_WR);
  *told = true;
}

void egress_tcp_event(void *mark, uint32_t events) {
  struct end *e = mark;
  struct link *l = e->link;
  if (l->dead) return;
  bool told[2] = {l->from[0].ended && l->from[0].kept == NULL, l->from[1].ended && l->from[1].kept == NULL};
  for (int side = 0; side < 2; side++) {
    if (!move(l, side)) {
      bury(l, true);
      return;
    }
    half_close(l, side, &told[side]);
  }
  /* An end that is gone altogether takes nothing more. */
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 && l->from[e->side].ended) {
    struct half *other = &l->from[1 - e->side];
    free(other->kept);
    other->kept = NULL;
    other->ended = told[1 - e->side] = true;
    epoll_ctl(epoll, EPOLL_CTL_DEL, e->fd, NULL);
    e->watched = 0;
  }
  if (told[0] && told[1]) {
    bury(l, false);
    return;
  }
  for (int side = 0; side < 2; side++) {
    uint32_t wanted = 0;
    if (!l->from[side].ended && l->from[side].kept == NULL) wanted |= EPOLLIN;
    if (l->from[1 - side].kept != NULL) wanted |= EPOLLOUT;
    bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0 && side == e->side && l->from[side].ended;
    if (!gone && !watch(&l->end[side], wanted)) {
      bury(l, true);
      return;
    }
  }
}

static struct link *new_link(int inside, int gateway) {
  struct link *l = calloc(1, sizeof *l);
  if (l == NULL) return NULL;
  const int fds[2] = {inside, gateway};
  for (int side = 0; side < 2; side++) {
    l->end[side] = (struct end){.link = l, .side = side, .fd = fds[side], .watched = EPOLLIN};
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = &l->end[side]}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[side], &event) != 0) {
      free(l);
      return NULL;
    }
  }
  connections++;
  return l;
}

/* Where the program wanted to go. A connection made to the listener itself has no other destination: refused. */
static bool destination(int fd, uint8_t out[6]) {
  struct sockaddr_in original;
  socklen_t len = sizeof original;
  if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &original, &len) != 0 || original.sin_family != AF_INET) return false;
  uint32_t address = ntohl(original.sin_addr.s_addr);
  if (address >> 24 == 127 || address == EGRESS_ADDRESS || original.sin_port == 0) return false;
  memcpy(out, &original.sin_addr.s_addr, 4);
  memcpy(out + 4, &original.sin_port, 2);
  return true;
}

void egress_tcp_accept(void) {
  for (int i = 0; i < ACCEPTS_A_TURN; i++) {
    int inside = accept4(egress.tcp_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (inside < 0) return;
    uint8_t to[6];
    int gateway = -1, one = 1;
    if (connections >= CONNECTIONS_MAX || !destination(inside, to) || (gateway = egress_connect()) < 0) {
      reset(inside);
      continue;
    }
    setsockopt(inside, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!egress_send_frame(gateway, EGRESS_TCP, to, sizeof to, NULL, 0) || new_link(inside, gateway) == NULL) {
      close(gateway);
      reset(inside);
    }
  }
}
