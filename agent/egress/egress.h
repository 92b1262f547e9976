/* The way out: redirected connections and DNS queries, handed to the carrier of the server. See docs/agent-protocol.md. */
#ifndef EGRESS_H
#define EGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* 10.0.2.15, the sandbox's own address. */
#define EGRESS_ADDRESS 0x0a00020fu
#define EGRESS_TCP 32
#define EGRESS_DNS 33
#define EGRESS_DATAGRAM 34
#define EGRESS_DATAGRAM_MAX 4096u

struct egress {
  int tcp_fd, dns_fd;
  uint16_t tcp_port, dns_port;
  pid_t pid;
  unsigned restarts;
};

/* egress-rules.c, egress-setup.c */
bool egress_rules(uint16_t tcp_port, uint16_t dns_port);
bool egress_setup(struct egress *e, const char **failed);
bool egress_give_up_admin(void);

/* egress-process.c: PID 1 keeps the listeners, so that nobody inside can take their ports over */
extern struct egress egress;
pid_t egress_start(const int *others, size_t count);
void egress_close_listeners(void);
/* One message to the gateway, with a descriptor or -1. False: nobody takes it. */
bool egress_send(uint8_t type, const void *a, size_t a_len, const void *b, size_t b_len, int fd);

/* egress-tcp.c */
void egress_tcp_accept(void);

/* egress-dns.c */
void egress_dns_begin(void);
void egress_dns_query(void);
void egress_dns_answer(const uint8_t *body, size_t len);

#endif
