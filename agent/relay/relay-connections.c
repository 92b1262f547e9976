/* The connections of a sandbox: handed over, looked at, connected to the outside or to the server, ended. */
#include "agent.h"
#include "relay/relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct link *links, *dead_links;
static size_t count;
static uint32_t last_id;

struct link *carry_link(uint32_t id) {
  struct link *l = links;
  while (l != NULL && l->id != id) l = l->next;
  return l;
}

static void reset(struct source *end) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  if (end->fd >= 0) setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  carry_close(end);
}

static void close_calmly(struct source *end) {
  /* Whoever has a copy of it inside may have asked for a close that waits. */
  struct linger none = {.l_onoff = 0};
  if (end->fd >= 0) setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  carry_close(end);
}

void carry_bury(struct link *l, bool abruptly) {
  if (l->dead) return;
  l->dead = true;
  for (int side = 0; side < 2; side++) {
    abruptly ? reset(&l->end[side]) : close_calmly(&l->end[side]);
    carry_forget(&l->from[side]);
  }
  struct link **at = &links;
  while (*at != l) at = &(*at)->next;
  *at = l->next;
  /* A later event of the same turn may still name it. */
  l->next = dead_links;
  dead_links = l;
  count--;
  carry_tell_totals();
  uint8_t body[20];
  store_u32(body, l->id);
  store_u64(body + 4, l->bytes[OUTSIDE]);
  store_u64(body + 12, l->bytes[INSIDE]);
  carry_tell(CARRY_CLOSED, body, sizeof body, NULL, 0);
}

void carry_cut_all(void) {
  while (links != NULL) carry_bury(links, true);
}

void carry_turn_end(void) {
  while (dead_links != NULL) {
    struct link *l = dead_links;
    dead_links = l->next;
    free(l);
  }
}

/* True once both ends are one connection. */
static bool dialled(struct link *l, uint32_t events) {
  if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return false;
  int error = 0;
  socklen_t len = sizeof error;
  if (getsockopt(l->end[OUTSIDE].fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
  uint8_t body[8];
  store_u32(body, l->id);
  store_u32(body + 4, (uint32_t)error);
  carry_tell(CARRY_DIALLED, body, sizeof body, NULL, 0);
  if (error == 0) {
    l->state = LINK_MOVING;
    if (!l->held) carry_count(l, INSIDE, l->from[INSIDE].len);
    return true;
  }
  /* The server says what becomes of the program: perhaps a few last words. */
  carry_close(&l->end[OUTSIDE]);
  l->held = false;
  l->state = LINK_WAITING;
  return false;
}

static void outside_ready(struct source *source, uint32_t events) {
  struct link *l = (struct link *)((char *)source - offsetof(struct link, end[OUTSIDE]));
  if (l->dead) return;
  if (l->state != LINK_DIALLING || dialled(l, events)) carry_move(l);
}

static void inside_ready(struct source *source, uint32_t events) {
  struct link *l = (struct link *)source;
  if (l->dead) return;
  if (l->state == LINK_MOVING) {
    carry_move(l);
  } else if (l->state == LINK_ENDING) {
    carry_finish(l);
  } else if ((events & (EPOLLERR | EPOLLHUP)) != 0 || (l->state == LINK_LOOKING && !carry_look_on(l))) {
    carry_bury(l, true);
  } else {
    bool more = l->state == LINK_LOOKING && !l->from[INSIDE].ended && l->from[INSIDE].len < CARRY_LOOK_MAX;
    carry_watch(&l->end[INSIDE], more ? EPOLLIN : 0);
  }
}

/* `inside` is the sandbox's to have chosen: only a TCP connection over IPv4 is taken. */
static bool is_connection(int fd) {
  int domain = 0, type = 0, protocol = 0;
  socklen_t len = sizeof(int);
  struct sockaddr_in peer;
  socklen_t peer_len = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_INET &&
         getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
         getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_TCP &&
         getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0;
}

static void no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void carry_open(int inside, const uint8_t to[6]) {
  struct link *l = count < CARRY_LINKS_MAX && is_connection(inside) ? calloc(1, sizeof *l) : NULL;
  struct source refused = {.fd = inside};
  if (l == NULL) {
    reset(&refused);
    return;
  }
  no_delay(inside);
  *l = (struct link){.end = {{.ready = inside_ready, .fd = inside}, {.ready = outside_ready, .fd = -1}}, .id = ++last_id};
  if (!carry_add(&l->end[INSIDE], 0)) {
    free(l);
    reset(&refused);
    return;
  }
  l->next = links;
  links = l;
  count++;
  uint8_t id[4];
  store_u32(id, l->id);
  carry_tell(CARRY_OPENED, id, sizeof id, to, 6);
}

void carry_look(struct link *l) {
  if (l->state != LINK_WAITING) return;
  l->state = LINK_LOOKING;
  carry_watch(&l->end[INSIDE], EPOLLIN);
}

static bool undecided(const struct link *l) {
  return (l->state == LINK_WAITING || l->state == LINK_LOOKING) && l->end[OUTSIDE].fd < 0;
}

/* Takes over a socket that is on its way to be connected. */
static void connecting(struct link *l, int fd, bool hold) {
  l->end[OUTSIDE].fd = fd;
  l->held = hold;
  l->state = LINK_DIALLING;
  if (!carry_watch(&l->end[INSIDE], 0) || !carry_add(&l->end[OUTSIDE], EPOLLOUT)) carry_bury(l, true);
}

/* The request takes the place of what was seen of the program, and nothing of it follows. */
static bool give_request(struct link *l, const uint8_t *request, size_t len) {
  struct half *out = &l->from[INSIDE];
  carry_forget(out);
  l->one_way = out->ended = out->told = true;
  return carry_keep(out, request, len);
}

void carry_dial(struct link *l, const uint8_t to[6], uint8_t mode, const uint8_t *request, size_t len) {
  if (!undecided(l)) return;
  if (mode == DIAL_REQUEST && !give_request(l, request, len)) {
    carry_bury(l, true);
    return;
  }
  struct sockaddr_in address = {.sin_family = AF_INET};
  memcpy(&address.sin_addr.s_addr, to, 4);
  memcpy(&address.sin_port, to + 4, 2);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0) no_delay(fd);
  if (fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS)) {
    connecting(l, fd, mode == DIAL_HOLD);
    return;
  }
  uint8_t body[8];
  store_u32(body, l->id);
  store_u32(body + 4, (uint32_t)errno);
  if (fd >= 0) close(fd);
  carry_tell(CARRY_DIALLED, body, sizeof body, NULL, 0);
}

void carry_release(struct link *l) {
  if (!l->held) return;
  l->held = false;
  carry_count(l, INSIDE, l->from[INSIDE].len);
  if (l->state == LINK_MOVING) carry_move(l);
}

/* Hands the connection to the server itself, which knows it by the id in front. */
void carry_take(struct link *l) {
  if (!undecided(l)) return;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "streams"};
  uint8_t id[4];
  store_u32(id, l->id);
  bool connected = fd >= 0 && fchdir(CARRY_STREAM_DIR_FD) == 0 &&
                   connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                   send(fd, id, sizeof id, MSG_NOSIGNAL) == (ssize_t)sizeof id;
  if (connected) {
    connecting(l, fd, false);
    return;
  }
  if (fd >= 0) close(fd);
  carry_bury(l, true);
}

/* The last words. What the program still sends is read and dropped, since closing on it would take the words back. */
void carry_end(struct link *l, const uint8_t *words, size_t len) {
  if (!undecided(l)) {
    carry_bury(l, true);
    return;
  }
  carry_forget(&l->from[INSIDE]);
  l->state = LINK_ENDING;
  l->from[OUTSIDE].ended = true;
  if (!carry_keep(&l->from[OUTSIDE], words, len)) {
    carry_bury(l, true);
    return;
  }
  carry_finish(l);
}
