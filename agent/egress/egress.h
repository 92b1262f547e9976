/*
 * Room egress: the sandbox's network traffic. Outbound TCP connections and DNS queries are redirected to listeners of
 * the agent and passed to the relay on the host; CONNECT forwards a connection to a port inside.
 */
#ifndef EGRESS_H
#define EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/wire.h"

/* 10.0.2.15, the sandbox's own address. */
#define EGRESS_ADDRESS 0x0a00020fu

/* egress-send.c. PID 1 keeps the listeners, so that nobody inside can take over their ports. */
struct egress {
  bool enabled; /* the network is set up */
  int tcp_fd, dns_fd;
  uint16_t tcp_port, dns_port;
  pid_t pid;
  unsigned restarts;
};
extern struct egress egress;
/* One message to the relay, with a descriptor or -1. False: no relay accepted it. */
bool egress_send(uint8_t type, const void *a, size_t a_len, const void *b, size_t b_len, int fd);
/* Receives one message. Returns its length, -1 when there is none. */
ssize_t egress_receive(uint8_t *message, size_t size);
void egress_disconnect(void);
void egress_on_connect(bool (*watch)(int fd)); /* called with each new connection to the relay */

/* nft-rules.c, egress-setup.c */
bool load_nft_rules(uint16_t tcp_port, uint16_t dns_port);
bool egress_setup(struct egress *e, const char **failed);
bool drop_net_admin(void);

/* egress-main.c */
pid_t egress_start(void (*close_others)(void)); /* called in the child: closes what only PID 1 needs */
void egress_close_listeners(void);

/* egress-tcp.c */
void egress_tcp_accept(void);

/* egress-dns.c */
void egress_dns_begin(void);
void egress_dns_query(void);
void egress_dns_answer(const uint8_t *body, size_t len);

/* port-forward.c */
bool serve_connect(int fd, struct frame *frame);

#endif
