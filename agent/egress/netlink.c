/* Building and sending netlink messages (netlink(7)). */
#include "egress/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void append(struct netlink_batch *b, const void *data, size_t len) {
  size_t padded = NLMSG_ALIGN(len);
  if (padded > sizeof b->bytes - b->len) {
    b->overflow = true;
    return;
  }
  memcpy(b->bytes + b->len, data, len);
  memset(b->bytes + b->len + len, 0, padded - len);
  b->len += padded;
}

/* Updates the length in the message's header. */
static void update_length(struct netlink_batch *b) {
  struct nlmsghdr header;
  memcpy(&header, b->bytes + b->message, sizeof header);
  header.nlmsg_len = (uint32_t)(b->len - b->message);
  memcpy(b->bytes + b->message, &header, sizeof header);
}

void netlink_message(struct netlink_batch *b, uint16_t type, uint16_t flags, const void *head, size_t head_len) {
  struct nlmsghdr header = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = ++b->sequence};
  b->message = b->len;
  append(b, &header, sizeof header);
  append(b, head, head_len);
  if (!b->overflow) update_length(b);
}

void netlink_attribute(struct netlink_batch *b, uint16_t type, const void *data, size_t len) {
  struct nlattr attribute = {.nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type};
  append(b, &attribute, sizeof attribute);
  append(b, data, len);
  if (!b->overflow) update_length(b);
}

void netlink_text(struct netlink_batch *b, uint16_t type, const char *text) {
  netlink_attribute(b, type, text, strlen(text) + 1);
}

void netlink_be32(struct netlink_batch *b, uint16_t type, uint32_t value) {
  uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
  netlink_attribute(b, type, bytes, sizeof bytes);
}

size_t netlink_nest(struct netlink_batch *b, uint16_t type) {
  size_t at = b->len;
  netlink_attribute(b, type | NLA_F_NESTED, NULL, 0);
  return at;
}

void netlink_end(struct netlink_batch *b, size_t nest) {
  if (b->overflow) return;
  struct nlattr attribute;
  memcpy(&attribute, b->bytes + nest, sizeof attribute);
  attribute.nla_len = (uint16_t)(b->len - nest);
  memcpy(b->bytes + nest, &attribute, sizeof attribute);
}

/* True once the kernel has acknowledged the message `last`; any error before it fails the whole batch. */
static bool acknowledged(int fd, uint32_t last) {
  union {
    struct nlmsghdr header;
    uint8_t bytes[8192];
  } answer;
  for (;;) {
    ssize_t got = recv(fd, &answer, sizeof answer, 0);
    if (got < 0) return false;
    int left = (int)got;
    for (struct nlmsghdr *h = &answer.header; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type != NLMSG_ERROR) continue;
      struct nlmsgerr error;
      memcpy(&error, NLMSG_DATA(h), sizeof error);
      if (error.error != 0) {
        errno = -error.error;
        return false;
      }
      if (h->nlmsg_seq == last) return true;
    }
  }
}

bool netlink_send(int protocol, struct netlink_batch *b, uint32_t last) {
  if (b->overflow) {
    errno = ENOBUFS;
    return false;
  }
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return false;
  struct timeval timeout = {.tv_sec = 5};
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  bool done = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
              sendto(fd, b->bytes, b->len, 0, (struct sockaddr *)&kernel, sizeof kernel) == (ssize_t)b->len &&
              acknowledged(fd, last);
  int error = errno;
  close(fd);
  errno = error;
  return done;
}
