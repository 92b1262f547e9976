/* Passes the sandbox's DNS queries to the relay, and its answers back. */
#include "egress/egress.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define PENDING_MAX 512
#define RATE 300 /* queries per second */
#define BURST 600
#define QUERIES_PER_TURN 64
#define DNS_HEADER 12
#define SERVFAIL 2

/* Clients that wait for an answer, by `token % PENDING_MAX`. A slot that was reused has another token. */
static struct {
  uint32_t token;
  struct sockaddr_in from;
} pending[PENDING_MAX];

static uint32_t last_token;
/* A token bucket for the rate limit. */
static int64_t budget_at;
static int64_t budget = BURST;

void egress_dns_begin(void) { budget_at = now_ms(); }

static bool within_rate(void) {
  int64_t now = now_ms();
  int64_t more = (now - budget_at) * RATE / 1000;
  if (more > 0) {
    budget = budget + more > BURST ? BURST : budget + more;
    budget_at = now;
  }
  if (budget == 0) return false;
  budget--;
  return true;
}

/* Without a relay the program gets an error at once instead of a timeout. */
static void answer_servfail(uint8_t *query, size_t len, const struct sockaddr_in *from) {
  query[2] |= 0x80;
  query[3] = (uint8_t)((query[3] & 0x70) | SERVFAIL);
  (void)sendto(egress.dns_fd, query, len, MSG_DONTWAIT, (const struct sockaddr *)from, sizeof *from);
}

void egress_dns_query(void) {
  for (int i = 0; i < QUERIES_PER_TURN; i++) {
    uint8_t query[EGRESS_DATAGRAM_MAX];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t len = recvfrom(egress.dns_fd, query, sizeof query, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (len < 0) return;
    if (len < DNS_HEADER || (query[2] & 0x80) != 0 || !within_rate()) continue;
    uint32_t token = ++last_token;
    uint8_t head[4];
    store_u32(head, token);
    pending[token % PENDING_MAX].token = token;
    pending[token % PENDING_MAX].from = from;
    if (egress_send(EGRESS_DATAGRAM, head, sizeof head, query, (size_t)len, -1)) continue;
    answer_servfail(query, (size_t)len, &from);
  }
}

/* Body: `u32` token, a DNS message. */
void egress_dns_answer(const uint8_t *body, size_t len) {
  if (len < 4) return;
  uint32_t token = load_u32(body);
  if (token == 0 || pending[token % PENDING_MAX].token != token) return;
  pending[token % PENDING_MAX].token = 0;
  const struct sockaddr_in *to = &pending[token % PENDING_MAX].from;
  (void)sendto(egress.dns_fd, body + 4, len - 4, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof *to);
}
