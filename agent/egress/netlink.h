/* Builds and sends the few netlink messages that set up a network namespace. */
#ifndef NETLINK_H
#define NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETLINK_BATCH_MAX 4096

/* Consecutive messages that are sent together. */
struct netlink_batch {
  size_t len;
  size_t message; /* where the current message starts */
  uint32_t sequence;
  bool overflow;
  uint8_t bytes[NETLINK_BATCH_MAX];
};

void netlink_message(struct netlink_batch *b, uint16_t type, uint16_t flags, const void *head, size_t head_len);
void netlink_attribute(struct netlink_batch *b, uint16_t type, const void *data, size_t len);
void netlink_text(struct netlink_batch *b, uint16_t type, const char *text);
void netlink_be32(struct netlink_batch *b, uint16_t type, uint32_t value);
size_t netlink_nest(struct netlink_batch *b, uint16_t type);
void netlink_end(struct netlink_batch *b, size_t nest);
bool netlink_send(int protocol, struct netlink_batch *b, uint32_t last);

#endif
