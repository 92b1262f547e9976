/* DNS queries of the sandbox, passed to the gateway one by one over a single connection. */
#include "agent.h"
#include "egress/egress.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define WAITING 512
#define RATE 300 /* queries a second */
#define BURST 600
#define QUERIES_A_TURN 64
#define DNS_HEADER 12
#define SERVFAIL 2

/* Who waits for an answer; the slot is the token's remainder, and an old token finds another one in it. */
static struct {
  uint32_t token;
  struct sockaddr_in from;
} waiting[WAITING];

static uint32_t last_token;
static int64_t tokens_at;
static int64_t tokens = BURST;

void egress_dns_begin(void) { tokens_at = now_ms(); }

static bool within_rate(void) {
  int64_t now = now_ms();
  int64_t more = (now - tokens_at) * RATE / 1000;
  if (more > 0) {
    tokens = tokens + more > BURST ? BURST : tokens + more;
    tokens_at = now;
  }
  if (tokens == 0) return false;
  tokens--;
  return true;
}

/* Answers at once that nobody resolves, where there is no gateway: better than a program that waits. */
static void fail_query(uint8_t *query, size_t len, const struct sockaddr_in *from) {
  query[2] |= 0x80;
  query[3] = (uint8_t)((query[3] & 0x70) | SERVFAIL);
  (void)sendto(egress.dns_fd, query, len, MSG_DONTWAIT, (const struct sockaddr *)from, sizeof *from);
}

void egress_dns_query(void) {
  for (int i = 0; i < QUERIES_A_TURN; i++) {
    uint8_t query[EGRESS_DATAGRAM_MAX];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t len = recvfrom(egress.dns_fd, query, sizeof query, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (len < 0) return;
    if (len < DNS_HEADER || (query[2] & 0x80) != 0 || !within_rate()) continue;
    uint32_t token = ++last_token;
    uint8_t head[4];
    store_u32(head, token);
    waiting[token % WAITING].token = token;
    waiting[token % WAITING].from = from;
    if (egress_send(EGRESS_DATAGRAM, head, sizeof head, query, (size_t)len, -1)) continue;
    fail_query(query, (size_t)len, &from);
  }
}

/* `u32` token, a DNS message. */
void egress_dns_answer(const uint8_t *body, size_t len) {
  if (len < 4) return;
  uint32_t token = load_u32(body);
  if (token == 0 || waiting[token % WAITING].token != token) return;
  waiting[token % WAITING].token = 0;
  const struct sockaddr_in *to = &waiting[token % WAITING].from;
  (void)sendto(egress.dns_fd, body + 4, len - 4, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof *to);
}
