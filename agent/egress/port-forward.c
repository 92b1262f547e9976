/* CONNECT: forwards the client's connection to a port inside, until both directions have ended. */
#include "egress/egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_SECONDS 10

struct direction {
  int from, to;
  size_t len, sent;
  bool ended; /* end of stream was read and passed on */
  uint8_t bytes[65536];
};

static int connect_to(const struct sockaddr *address, socklen_t len) {
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct timeval limit = {.tv_sec = CONNECT_SECONDS};
  int result = setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (result == 0) result = connect(fd, address, len);
  if (result == 0) return fd;
  int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
  close(fd);
  errno = error;
  return -1;
}

/* A program that listens on `localhost` may use either address family. */
static int connect_inside(uint16_t port) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = connect_to((struct sockaddr *)&v4, sizeof v4);
  if (fd >= 0) return fd;
  int error = errno;
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  fd = connect_to((struct sockaddr *)&v6, sizeof v6);
  errno = error;
  return fd;
}

/* Copies as much as possible without blocking. False: the connection is broken. */
static bool copy(struct direction *d) {
  for (int i = 0; i < 16 && !d->ended; i++) {
    if (d->sent == d->len) {
      ssize_t n = recv(d->from, d->bytes, sizeof d->bytes, 0);
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      if (n == 0) {
        d->ended = true;
        return shutdown(d->to, SHUT_WR) == 0 || errno == ENOTCONN;
      }
      d->len = (size_t)n;
      d->sent = 0;
    }
    ssize_t n = send(d->to, d->bytes + d->sent, d->len - d->sent, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    d->sent += (size_t)n;
  }
  return true;
}

static short wanted_events(const struct direction *in, const struct direction *out) {
  short events = 0;
  if (!in->ended && in->sent == in->len) events |= POLLIN;
  if (!out->ended && out->sent < out->len) events |= POLLOUT;
  return events;
}

static void forward(int client, int inside) {
  static struct direction up, down;
  up.from = down.to = client;
  up.to = down.from = inside;
  while (!up.ended || !down.ended) {
    struct pollfd p[2] = {{.fd = client, .events = wanted_events(&up, &down)},
                          {.fd = inside, .events = wanted_events(&down, &up)}};
    if (poll(p, 2, -1) < 0) continue;
    if (!copy(&up) || !copy(&down)) return;
    /* A client that has closed both halves reads no answer: once its bytes are delivered, the work is done. POLLHUP means
       exactly that; a half-close does not raise it. */
    if ((p[0].revents & (POLLHUP | POLLERR)) != 0 && up.ended) return;
    if ((p[1].revents & (POLLHUP | POLLERR)) != 0 && down.ended && p[1].events == 0) return;
  }
}

bool serve_connect(int fd, struct frame *frame) {
  uint64_t port = 0;
  const struct field wanted[] = {{TAG_PORT, FIELD_NUMBER, true, &port}};
  if (!fields_read(frame->body, frame->len, wanted, 1)) return send_protocol_error(fd);
  if (port < 1 || port > 65535) return send_error(fd, EINVAL, "port", NULL);
  int inside = connect_inside((uint16_t)port);
  if (inside < 0) return send_error(fd, errno, "connect", NULL);
  if (fcntl(inside, F_SETFL, O_NONBLOCK) != 0) {
    int error = errno;
    close(inside);
    return send_error(fd, error, "connect", NULL);
  }
  bool open = send_empty(fd, ANS_OK) && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
  if (open) forward(fd, inside);
  close(inside);
  return false;
}
