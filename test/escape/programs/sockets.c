/* Sockets: kinds that the sandbox must not have, and sockets of the host. */
#include "attempt.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Requests the tables of the packet filter, and reports the kernel's answer. */
static long packet_filter(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
  struct {
    struct nlmsghdr head;
    struct nfgenmsg body;
  } m = {.head = {.nlmsg_len = sizeof m,
                  .nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE,
                  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                  .nlmsg_seq = 1}};
  if (fd < 0 || send(fd, &m, sizeof m, 0) < 0) return -1;
  char answer[4096];
  ssize_t n = recv(fd, answer, sizeof answer, 0);
  const struct nlmsghdr *head = (const struct nlmsghdr *)(const void *)answer;
  if (n < (ssize_t)sizeof *head || head->nlmsg_type != NLMSG_ERROR) return n;
  errno = -((const struct nlmsgerr *)NLMSG_DATA(head))->error;
  return errno == 0 ? 0 : -1;
}

static long abstract_socket(const char *name) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  /* Padded, as Node's listeners are. */
  memcpy(address.sun_path + 1, name, strlen(name));
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
}

static long path_socket(const char *path) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
}

static long loopback(const char *port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
}

#define SOCKETS(X) \
  X(vsock, socket(AF_VSOCK, SOCK_STREAM, 0)) \
  X(packet_socket, socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))) \
  X(alg_socket, socket(AF_ALG, SOCK_SEQPACKET, 0)) \
  X(key_socket, socket(AF_KEY, SOCK_RAW, 2)) \
  X(xdp_socket, socket(AF_XDP, SOCK_RAW, 0)) \
  X(can_socket, socket(AF_CAN, SOCK_RAW, 1)) \
  X(bluetooth_socket, socket(AF_BLUETOOTH, SOCK_RAW, 1)) \
  X(tipc_socket, socket(AF_TIPC, SOCK_STREAM, 0)) \
  X(raw_socket, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)) \
  X(raw6_socket, socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)) \
  X(sctp_socket, socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)) \
  X(dccp_socket, socket(AF_INET, 6 /* SOCK_DCCP */, 0)) \
  X(l2tp_socket, socket(AF_INET, SOCK_DGRAM, 115)) \
  X(udplite_socket, socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE)) \
  X(netlink_audit, socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)) \
  X(netlink_xfrm, socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM)) \
  X(netlink_uevent, socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)) \
  X(netlink_generic, socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)) \
  X(netlink_diag, socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG)) \
  X(family_high_bits, syscall(SYS_socket, 0x100000000ul | AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))) \
  X(packet_filter, packet_filter()) \
  X(abstract_socket, abstract_socket(arg)) \
  X(host_socket, path_socket(arg)) \
  X(host_loopback, loopback(arg))

SOCKETS(DEFINE)
const struct attempt socket_attempts[] = {SOCKETS(LIST){NULL, NULL}};
