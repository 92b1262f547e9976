/* The connections of a sandbox, from the agent's message to their end. */
#include "relay/relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct connection *connections, *dead_connections;
static size_t count;
static uint32_t last_id;

struct connection *connection_find(uint32_t id) {
  struct connection *c = connections;
  while (c != NULL && c->id != id) c = c->next;
  return c;
}

/* Sets SO_LINGER in any case: the sandbox has a copy of the descriptor and may have set a close that waits. */
static void close_end(struct source *end, bool reset) {
  struct linger linger = {.l_onoff = reset, .l_linger = 0};
  if (end->fd >= 0) setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  loop_close(end);
}

void connection_close(struct connection *c, bool reset) {
  if (c->dead) return;
  c->dead = true;
  for (int side = 0; side < 2; side++) {
    close_end(&c->end[side], reset);
    buffer_free(&c->from[side]);
  }
  struct connection **at = &connections;
  while (*at != c) at = &(*at)->next;
  *at = c->next;
  /* Freed later: an event of the same turn may still refer to it. */
  c->next = dead_connections;
  dead_connections = c;
  count--;
  notify_totals();
  uint8_t body[20];
  store_u32(body, c->id);
  store_u64(body + 4, c->bytes[OUTSIDE]);
  store_u64(body + 12, c->bytes[INSIDE]);
  notify(RELAY_CLOSED, body, sizeof body, NULL, 0);
}

void connections_reset_all(void) {
  while (connections != NULL) connection_close(connections, true);
}

void connections_turn_end(void) {
  while (dead_connections != NULL) {
    struct connection *c = dead_connections;
    dead_connections = c->next;
    free(c);
  }
}

/* Waits for whatever each end needs next. */
static void watch_ends(struct connection *c) {
  for (int side = 0; side < 2; side++) {
    if (c->end[side].fd < 0 || (side == OUTSIDE && c->state == STATE_CONNECTING)) continue;
    if (loop_watch(&c->end[side], copy_events(c, side))) continue;
    connection_close(c, true);
    return;
  }
}

static void copy(struct connection *c) {
  enum copy_result result = c->state == STATE_CLOSING ? copy_final(c) : copy_both(c);
  if (result == COPY_DRAIN) {
    /*
     * Closing with unread input would reset the connection, and the program might lose bytes that it has not read yet.
     */
    loop_close(&c->end[OUTSIDE]);
    c->from[INSIDE].eof = false;
    c->state = STATE_CLOSING;
    result = copy_final(c);
  }
  if (result == COPY_CONTINUE) {
    watch_ends(c);
  } else if (result == COPY_QUOTA) {
    notify(RELAY_QUOTA_EXCEEDED, NULL, 0, NULL, 0);
    connections_reset_all();
  } else {
    connection_close(c, result == COPY_RESET);
  }
}

void connections_resume(void) {
  for (struct connection *c = connections, *next; c != NULL; c = next) {
    next = c->next;
    watch_ends(c);
  }
}

static void notify_connected(const struct connection *c, int error) {
  uint8_t body[8];
  store_u32(body, c->id);
  store_u32(body + 4, (uint32_t)error);
  notify(RELAY_CONNECTED, body, sizeof body, NULL, 0);
}

/* True once the connection is open. */
static bool finish_connecting(struct connection *c, uint32_t events) {
  if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return false;
  int error = 0;
  socklen_t len = sizeof error;
  if (getsockopt(c->end[OUTSIDE].fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
  notify_connected(c, error);
  if (error == 0) {
    c->state = STATE_OPEN;
    if (!c->held) count_bytes(c, INSIDE, c->from[INSIDE].len);
    return true;
  }
  /* The server decides what to do with the program: it may answer it. */
  loop_close(&c->end[OUTSIDE]);
  c->held = false;
  c->state = STATE_WAITING;
  return false;
}

static void outside_ready(struct source *source, uint32_t events) {
  struct connection *c = (struct connection *)((char *)source - offsetof(struct connection, end[OUTSIDE]));
  if (c->dead) return;
  if (c->state != STATE_CONNECTING || finish_connecting(c, events)) copy(c);
}

static void inside_ready(struct source *source, uint32_t events) {
  struct connection *c = (struct connection *)source;
  if (c->dead) return;
  if (c->state == STATE_OPEN || c->state == STATE_CLOSING) {
    copy(c);
  } else if ((events & (EPOLLERR | EPOLLHUP)) != 0 || (c->state == STATE_SNIFFING && !copy_sniff(c))) {
    connection_close(c, true);
  } else {
    watch_ends(c);
  }
}

/* The sandbox chooses the descriptor: only a TCP connection over IPv4 is accepted. */
static bool is_tcp_connection(int fd) {
  int domain = 0, type = 0, protocol = 0;
  socklen_t len = sizeof(int);
  struct sockaddr_in peer;
  socklen_t peer_len = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_INET &&
         getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
         getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_TCP &&
         getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0;
}

static void set_no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void connection_open(int inside, const uint8_t to[6]) {
  struct connection *c = count < CONNECTIONS_MAX && is_tcp_connection(inside) ? calloc(1, sizeof *c) : NULL;
  struct source refused = {.fd = inside};
  if (c == NULL) {
    close_end(&refused, true);
    return;
  }
  set_no_delay(inside);
  c->end[INSIDE] = (struct source){.ready = inside_ready, .fd = inside};
  c->end[OUTSIDE] = (struct source){.ready = outside_ready, .fd = -1};
  c->id = ++last_id;
  if (!loop_add(&c->end[INSIDE], 0)) {
    free(c);
    close_end(&refused, true);
    return;
  }
  c->next = connections;
  connections = c;
  count++;
  uint8_t id[4];
  store_u32(id, c->id);
  notify(RELAY_OPENED, id, sizeof id, to, 6);
}

void connection_sniff(struct connection *c) {
  if (c->state != STATE_WAITING) return;
  c->state = STATE_SNIFFING;
  watch_ends(c);
}

static bool is_undecided(const struct connection *c) {
  return (c->state == STATE_WAITING || c->state == STATE_SNIFFING) && c->end[OUTSIDE].fd < 0;
}

/*
 * A held connection whose server has sent nothing can go elsewhere: what the program has sent went nowhere yet. One
 * whose server has spoken is closed.
 */
static bool make_undecided(struct connection *c) {
  if (!c->held) return is_undecided(c);
  if (c->state != STATE_OPEN || c->bytes[OUTSIDE] > 0 || c->from[OUTSIDE].eof) {
    connection_close(c, true);
    return false;
  }
  loop_close(&c->end[OUTSIDE]);
  c->held = false;
  c->state = STATE_SNIFFING;
  return true;
}

/* Takes over a socket that is being connected. */
static void start_connecting(struct connection *c, int fd, bool hold) {
  c->end[OUTSIDE].fd = fd;
  c->held = hold;
  c->state = STATE_CONNECTING;
  if (!loop_watch(&c->end[INSIDE], 0) || !loop_add(&c->end[OUTSIDE], EPOLLOUT)) connection_close(c, true);
}

/* The request replaces what the program has sent, and nothing follows it. */
static bool set_request(struct connection *c, const uint8_t *request, size_t len) {
  struct direction *out = &c->from[INSIDE];
  buffer_free(out);
  c->one_way = out->eof = out->eof_sent = true;
  return buffer_append(out, request, len);
}

void connection_connect(struct connection *c, const uint8_t to[6], uint8_t mode, const uint8_t *request, size_t len) {
  if (!make_undecided(c)) return;
  if (mode == CONNECT_REQUEST && !set_request(c, request, len)) {
    connection_close(c, true);
    return;
  }
  struct sockaddr_in address = {.sin_family = AF_INET};
  memcpy(&address.sin_addr.s_addr, to, 4);
  memcpy(&address.sin_port, to + 4, 2);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0) set_no_delay(fd);
  if (fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS)) {
    start_connecting(c, fd, mode == CONNECT_HOLD);
    return;
  }
  notify_connected(c, errno);
  if (fd >= 0) close(fd);
}

void connection_release(struct connection *c) {
  if (!c->held) return;
  c->held = false;
  count_bytes(c, INSIDE, c->from[INSIDE].len);
  if (c->state == STATE_OPEN) copy(c);
}

/* Connects the program to the server itself, which recognises the connection by the id in front. */
void connection_intercept(struct connection *c) {
  if (!make_undecided(c)) return;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "streams"};
  uint8_t id[4];
  store_u32(id, c->id);
  bool connected = fd >= 0 && fchdir(STREAM_DIR_FD) == 0 &&
                   connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                   send(fd, id, sizeof id, MSG_NOSIGNAL) == (ssize_t)sizeof id;
  if (connected) {
    start_connecting(c, fd, false);
    return;
  }
  if (fd >= 0) close(fd);
  connection_close(c, true);
}

/*
 * Sends a final answer to the program. What it still sends is discarded: closing with unread input would reset the
 * connection.
 */
void connection_respond(struct connection *c, const uint8_t *bytes, size_t len) {
  if (!make_undecided(c)) {
    connection_close(c, true);
    return;
  }
  buffer_free(&c->from[INSIDE]);
  c->state = STATE_CLOSING;
  c->from[OUTSIDE].eof = true;
  if (!buffer_append(&c->from[OUTSIDE], bytes, len)) {
    connection_close(c, true);
    return;
  }
  copy(c);
}
