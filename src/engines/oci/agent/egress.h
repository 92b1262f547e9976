/* The way out: redirected connections and DNS queries, handed to the server's gateway. See docs/agent-protocol.md. */
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
pid_t egress_start(void);
void egress_close_listeners(void);

/* egress-tcp.c */
void egress_tcp_begin(int epoll_fd);
void egress_tcp_accept(void);
void egress_tcp_event(void *end, uint32_t events);
void egress_tcp_turn_end(void);

/* egress-dns.c */
void egress_dns_begin(int epoll_fd, void *gateway_mark);
void egress_dns_query(void);
void egress_dns_answer(void);

/* egress-process.c: a connection to `egress` in the agent directory, or -1 */
int egress_connect(void);
bool egress_send_frame(int fd, uint8_t type, const void *a, size_t a_len, const void *b, size_t b_len);

#endif
