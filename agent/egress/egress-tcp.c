/*
 * Redirected connections. Each is handed to the carrier outside, with its original destination, and is that one's from then
 * on: not one byte of it passes through this process. Nobody there to take it: reset.
 */
#include "agent.h"
#include "egress/egress.h"

#include <netinet/in.h>
#include <linux/netfilter_ipv4.h>
#include <string.h>
#include <sys/socket.h>

#define ACCEPTS_A_TURN 32

/* Where the program wanted to go. A connection made to the listener itself has no other destination: refused. */
static bool destination(int fd, uint8_t out[6]) {
  struct sockaddr_in original;
  socklen_t len = sizeof original;
  if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &original, &len) != 0 || original.sin_family != AF_INET) return false;
  uint32_t address = ntohl(original.sin_addr.s_addr);
  if (address >> 24 == 127 || address == EGRESS_ADDRESS || original.sin_port == 0) return false;
  memcpy(out, &original.sin_addr.s_addr, 4);
  memcpy(out + 4, &original.sin_port, 2);
  return true;
}

void egress_tcp_accept(void) {
  for (int i = 0; i < ACCEPTS_A_TURN; i++) {
    int inside = accept4(egress.tcp_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (inside < 0) return;
    uint8_t to[6];
    if (!destination(inside, to) || !egress_send(EGRESS_TCP, to, sizeof to, NULL, 0, inside)) {
      struct linger now = {.l_onoff = 1, .l_linger = 0};
      setsockopt(inside, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(inside);
  }
}
