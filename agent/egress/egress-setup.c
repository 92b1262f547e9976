/*
 * Sets up outbound networking before any user code can run: the listeners, the nftables rules that redirect to them,
 * then the address and route without which a program could not connect to anything. PID 1 drops CAP_NET_ADMIN right
 * after.
 */
#include "egress/egress.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "egress/netlink.h"

#define LOOPBACK_INDEX 1
#define BACKLOG 1024
#define LARGE_PACKET 524280u /* GSO_MAX_SIZE of the kernel: 8 times 65,535 */
/* IFLA_GSO_IPV4_MAX_SIZE and IFLA_GRO_IPV4_MAX_SIZE, which the headers of some build machines lack. */
#define GSO_IPV4_MAX_SIZE 63
#define GRO_IPV4_MAX_SIZE 64

/* A socket on loopback, at a port that the kernel chooses. */
static int bound_socket(int type, uint16_t *port) {
  int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t len = sizeof address;
  if (bind(fd, (struct sockaddr *)&address, len) == 0 && getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
    *port = ntohs(address.sin_port);
    return fd;
  }
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static bool loopback_up(void) {
  struct netlink_batch b = {0};
  struct ifinfomsg link = {.ifi_index = LOOPBACK_INDEX, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  netlink_message(&b, RTM_NEWLINK, NLM_F_ACK, &link, sizeof link);
  return netlink_send(NETLINK_ROUTE, &b, b.sequence);
}

/*
 * Packets larger than 64 KiB halve the CPU cost of what a program receives from the relay; they never leave loopback.
 * Kernels before 6.3 cannot do it and work without.
 */
static void allow_large_packets(void) {
  struct netlink_batch b = {0};
  struct ifinfomsg link = {.ifi_index = LOOPBACK_INDEX};
  uint32_t size = LARGE_PACKET;
  netlink_message(&b, RTM_NEWLINK, NLM_F_ACK, &link, sizeof link);
  netlink_attribute(&b, GSO_IPV4_MAX_SIZE, &size, sizeof size);
  netlink_attribute(&b, GRO_IPV4_MAX_SIZE, &size, sizeof size);
  (void)netlink_send(NETLINK_ROUTE, &b, b.sequence);
}

static bool own_address(void) {
  struct netlink_batch b = {0};
  uint32_t address = htonl(EGRESS_ADDRESS);
  struct ifaddrmsg head = {
      .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_scope = RT_SCOPE_UNIVERSE, .ifa_index = LOOPBACK_INDEX};
  netlink_message(&b, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
  netlink_attribute(&b, IFA_LOCAL, &address, sizeof address);
  netlink_attribute(&b, IFA_ADDRESS, &address, sizeof address);
  return netlink_send(NETLINK_ROUTE, &b, b.sequence);
}

/* `default dev lo src <own address>`: without the source address, replies of the listener would be lost. */
static bool default_route(void) {
  struct netlink_batch b = {0};
  uint32_t address = htonl(EGRESS_ADDRESS), index = LOOPBACK_INDEX;
  struct rtmsg head = {.rtm_family = AF_INET,
                       .rtm_table = RT_TABLE_MAIN,
                       .rtm_protocol = RTPROT_STATIC,
                       .rtm_scope = RT_SCOPE_LINK,
                       .rtm_type = RTN_UNICAST};
  netlink_message(&b, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
  netlink_attribute(&b, RTA_OIF, &index, sizeof index);
  netlink_attribute(&b, RTA_PREFSRC, &address, sizeof address);
  return netlink_send(NETLINK_ROUTE, &b, b.sequence);
}

bool drop_net_admin(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2] = {{0}, {0}};
  uint32_t bit = 1u << CAP_NET_ADMIN;
  if (prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN, 0, 0, 0) != 0 && prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) != 0) {
    return false;
  }
  if (syscall(SYS_capget, &header, data) != 0) return false;
  data[0].effective &= ~bit;
  data[0].permitted &= ~bit;
  data[0].inheritable &= ~bit;
  return syscall(SYS_capset, &header, data) == 0;
}

bool egress_setup(struct egress *e, const char **failed) {
  *failed = "egress loopback";
  if (!loopback_up()) return false;
  allow_large_packets();
  *failed = "egress listener";
  e->tcp_fd = bound_socket(SOCK_STREAM, &e->tcp_port);
  if (e->tcp_fd < 0 || listen(e->tcp_fd, BACKLOG) != 0) return false;
  e->dns_fd = bound_socket(SOCK_DGRAM, &e->dns_port);
  if (e->dns_fd < 0) return false;
  *failed = "egress rules";
  if (!load_nft_rules(e->tcp_port, e->dns_port)) return false;
  *failed = "egress address";
  if (!own_address()) return false;
  *failed = "egress route";
  return default_route();
}
