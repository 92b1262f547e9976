/*
 * Accepts redirected TCP connections and passes each to the relay as a descriptor, with its original destination. None
 * of its bytes pass through this process. Without a relay the connection is reset.
 */
#include "egress/egress.h"

#include <netinet/in.h>
#include <linux/netfilter_ipv4.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 32

/* Where the program connected to. False for a connection to the listener itself, which has no other destination. */
static bool original_destination(int fd, uint8_t out[6]) {
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
  for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
    int inside = accept4(egress.tcp_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (inside < 0) return;
    uint8_t to[6];
    if (!original_destination(inside, to) || !egress_send(EGRESS_TCP, to, sizeof to, NULL, 0, inside)) {
      struct linger reset = {.l_onoff = 1, .l_linger = 0};
      setsockopt(inside, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(inside);
  }
}
