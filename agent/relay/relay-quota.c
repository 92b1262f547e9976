/* Counts the bytes of all connections, against the server's limit. */
#include "relay/relay.h"

uint64_t total_bytes[2];
uint64_t quota = UINT64_MAX;

bool quota_exceeded(void) { return total_bytes[0] + total_bytes[1] >= quota; }

void count_bytes(struct connection *c, int side, size_t bytes) {
  c->bytes[side] += bytes;
  total_bytes[side] += bytes;
}
