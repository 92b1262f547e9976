/* Receives connections, as descriptors, and DNS queries from the agent. All of it is untrusted until it is checked. */
#include "relay/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS_MAX 16
#define MESSAGES_PER_TURN 64
#define TCP_BODY 6

static void peer_ready(struct source *source, uint32_t events);

/* An agent that restarts its egress process appears as a new peer. */
static struct peer {
  struct source source;
  uint32_t serial;
} peers[PEERS_MAX];
static uint32_t last_serial;

void intake_add_peer(int fd) {
  for (struct peer *p = peers; p < peers + PEERS_MAX; p++) {
    if (p->serial != 0) continue;
    *p = (struct peer){.source = {.ready = peer_ready, .fd = fd}, .serial = ++last_serial};
    if (loop_add(&p->source, EPOLLIN)) return;
    p->serial = 0;
    break;
  }
  close(fd);
}

/* The descriptor of a message, or -1. There is room for one only: the kernel closes the rest. */
static int descriptor_of(struct msghdr *message) {
  struct cmsghdr *c = CMSG_FIRSTHDR(message);
  if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(sizeof(int))) {
    return -1;
  }
  int fd;
  memcpy(&fd, CMSG_DATA(c), sizeof fd);
  return fd;
}

static bool receive_message(struct peer *p, uint8_t *body, size_t len, int fd) {
  if (body[0] == EGRESS_TCP && len == 1 + TCP_BODY && fd >= 0) {
    connection_open(fd, body + 1);
    return true;
  }
  if (fd >= 0) close(fd);
  if (body[0] != EGRESS_DATAGRAM || len <= 1 + 4 || fd >= 0) return false;
  uint8_t serial[4];
  store_u32(serial, p->serial);
  notify(RELAY_DNS_QUERY, serial, sizeof serial, body + 1, len - 1);
  return true;
}

static void remove_peer(struct peer *p) {
  loop_close(&p->source);
  p->serial = 0;
}

static void peer_ready(struct source *source, uint32_t events) {
  (void)events;
  struct peer *p = (struct peer *)source;
  for (int i = 0; i < MESSAGES_PER_TURN && !notify_is_full(); i++) {
    uint8_t body[1 + 4 + EGRESS_DATAGRAM_MAX];
    union {
      struct cmsghdr align;
      char bytes[CMSG_SPACE(sizeof(int))];
    } ancillary;
    struct iovec into = {.iov_base = body, .iov_len = sizeof body};
    /* Not CMSG_SPACE, whose padding has room for two descriptors. */
    struct msghdr received = {
        .msg_iov = &into, .msg_iovlen = 1, .msg_control = &ancillary, .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t got = recvmsg(source->fd, &received, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
    int fd = got >= 0 ? descriptor_of(&received) : -1;
    bool whole = got > 0 && (received.msg_flags & MSG_TRUNC) == 0;
    if (whole && receive_message(p, body, (size_t)got, fd)) continue;
    if (!whole && fd >= 0) close(fd);
    remove_peer(p);
    return;
  }
  if (!loop_watch(source, notify_is_full() ? 0 : EPOLLIN)) remove_peer(p);
}

/* Reads from the peers again, once the server has received their earlier messages. */
void intake_resume(void) {
  for (struct peer *p = peers; p < peers + PEERS_MAX; p++) {
    if (p->serial != 0 && !loop_watch(&p->source, EPOLLIN)) remove_peer(p);
  }
}

/* Body: `u32` peer, `u32` token, a DNS message. */
void intake_dns_answer(const uint8_t *body, size_t len) {
  uint8_t answer[1 + 4 + EGRESS_DATAGRAM_MAX];
  if (len - 4 > sizeof answer - 1) return;
  uint32_t serial = load_u32(body);
  for (struct peer *p = peers; serial != 0 && p < peers + PEERS_MAX; p++) {
    if (p->serial != serial) continue;
    answer[0] = EGRESS_DATAGRAM;
    memcpy(answer + 1, body + 4, len - 4);
    /* A peer that does not read loses its answers. */
    (void)send(p->source.fd, answer, len - 4 + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}
