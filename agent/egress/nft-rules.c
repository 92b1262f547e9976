/*
 * The nftables rules that redirect outbound connections to the agent (family ip, table `egress`):
 *
 *   chain output_nat     127.0.0.0/8 and the sandbox's own address: accept
 *                        every TCP connection: redirect to the TCP listener
 *                        UDP port 53: redirect to the DNS listener
 *   chain output_filter  127.0.0.0/8 and the sandbox's own address: accept; drop the rest (EPERM at once)
 *
 * The rules only redirect. They do not isolate: with or without them, nothing leaves the namespace except through the
 * agent.
 */
#include "egress/egress.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "egress/netlink.h"

#define TABLE "egress"
#define REDIRECT_CHAIN "output_nat"
#define FILTER_CHAIN "output_filter"
#define NAT_PRIORITY ((uint32_t)-100)
#define IPV4_DESTINATION 16
#define PORT_DESTINATION 2

static void message(struct netlink_batch *b, int type, uint16_t flags) {
  struct nfgenmsg head = {.nfgen_family = NFPROTO_IPV4, .version = NFNETLINK_V0};
  netlink_message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &head, sizeof head);
}

static void frame_batch(struct netlink_batch *b, uint16_t type) {
  struct nfgenmsg head = {.nfgen_family = AF_UNSPEC, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
  netlink_message(b, type, 0, &head, sizeof head);
}

static void chain(struct netlink_batch *b, const char *name, const char *type, uint32_t priority, uint32_t policy) {
  message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  netlink_text(b, NFTA_CHAIN_TABLE, TABLE);
  netlink_text(b, NFTA_CHAIN_NAME, name);
  size_t hook = netlink_nest(b, NFTA_CHAIN_HOOK);
  netlink_be32(b, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
  netlink_be32(b, NFTA_HOOK_PRIORITY, priority);
  netlink_end(b, hook);
  netlink_be32(b, NFTA_CHAIN_POLICY, policy);
  netlink_text(b, NFTA_CHAIN_TYPE, type);
}

/* The nested attributes of the rule and the expression that are being built. */
struct rule {
  size_t list, element, data;
};

static void expression(struct netlink_batch *b, struct rule *r, const char *name) {
  r->element = netlink_nest(b, NFTA_LIST_ELEM);
  netlink_text(b, NFTA_EXPR_NAME, name);
  r->data = netlink_nest(b, NFTA_EXPR_DATA);
}

static void expression_end(struct netlink_batch *b, const struct rule *r) {
  netlink_end(b, r->data);
  netlink_end(b, r->element);
}

static void rule_begin(struct netlink_batch *b, struct rule *r, const char *chain_name, uint16_t flags) {
  message(b, NFT_MSG_NEWRULE, (uint16_t)(NLM_F_CREATE | NLM_F_APPEND | flags));
  netlink_text(b, NFTA_RULE_TABLE, TABLE);
  netlink_text(b, NFTA_RULE_CHAIN, chain_name);
  r->list = netlink_nest(b, NFTA_RULE_EXPRESSIONS);
}

static void value(struct netlink_batch *b, uint16_t type, const void *data, size_t len) {
  size_t nest = netlink_nest(b, type);
  netlink_attribute(b, NFTA_DATA_VALUE, data, len);
  netlink_end(b, nest);
}

static void load_payload(struct netlink_batch *b, struct rule *r, uint32_t base, uint32_t offset, uint32_t len) {
  expression(b, r, "payload");
  netlink_be32(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
  netlink_be32(b, NFTA_PAYLOAD_BASE, base);
  netlink_be32(b, NFTA_PAYLOAD_OFFSET, offset);
  netlink_be32(b, NFTA_PAYLOAD_LEN, len);
  expression_end(b, r);
}

static void compare(struct netlink_batch *b, struct rule *r, const void *data, size_t len) {
  expression(b, r, "cmp");
  netlink_be32(b, NFTA_CMP_SREG, NFT_REG_1);
  netlink_be32(b, NFTA_CMP_OP, NFT_CMP_EQ);
  value(b, NFTA_CMP_DATA, data, len);
  expression_end(b, r);
}

static void match_destination(struct netlink_batch *b, struct rule *r, uint32_t address, uint32_t mask) {
  uint32_t wanted = htonl(address), bits = htonl(mask), none = 0;
  load_payload(b, r, NFT_PAYLOAD_NETWORK_HEADER, IPV4_DESTINATION, sizeof wanted);
  expression(b, r, "bitwise");
  netlink_be32(b, NFTA_BITWISE_SREG, NFT_REG_1);
  netlink_be32(b, NFTA_BITWISE_DREG, NFT_REG_1);
  netlink_be32(b, NFTA_BITWISE_LEN, sizeof bits);
  value(b, NFTA_BITWISE_MASK, &bits, sizeof bits);
  value(b, NFTA_BITWISE_XOR, &none, sizeof none);
  expression_end(b, r);
  compare(b, r, &wanted, sizeof wanted);
}

static void match_protocol(struct netlink_batch *b, struct rule *r, uint8_t protocol) {
  expression(b, r, "meta");
  netlink_be32(b, NFTA_META_DREG, NFT_REG_1);
  netlink_be32(b, NFTA_META_KEY, NFT_META_L4PROTO);
  expression_end(b, r);
  compare(b, r, &protocol, sizeof protocol);
}

static void accept_local(struct netlink_batch *b, const char *chain_name, uint32_t address, uint32_t mask) {
  struct rule r;
  rule_begin(b, &r, chain_name, 0);
  match_destination(b, &r, address, mask);
  expression(b, &r, "immediate");
  netlink_be32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  size_t data = netlink_nest(b, NFTA_IMMEDIATE_DATA);
  size_t verdict = netlink_nest(b, NFTA_DATA_VERDICT);
  netlink_be32(b, NFTA_VERDICT_CODE, NF_ACCEPT);
  netlink_end(b, verdict);
  netlink_end(b, data);
  expression_end(b, &r);
  netlink_end(b, r.list);
}

static void redirect(struct netlink_batch *b, uint8_t protocol, uint16_t only_port, uint16_t to_port, uint16_t flags) {
  struct rule r;
  uint16_t wanted = htons(only_port), target = htons(to_port);
  rule_begin(b, &r, REDIRECT_CHAIN, flags);
  match_protocol(b, &r, protocol);
  if (only_port != 0) {
    load_payload(b, &r, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_DESTINATION, sizeof wanted);
    compare(b, &r, &wanted, sizeof wanted);
  }
  expression(b, &r, "immediate");
  netlink_be32(b, NFTA_IMMEDIATE_DREG, NFT_REG_1);
  value(b, NFTA_IMMEDIATE_DATA, &target, sizeof target);
  expression_end(b, &r);
  expression(b, &r, "redir");
  netlink_be32(b, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
  expression_end(b, &r);
  netlink_end(b, r.list);
}

bool load_nft_rules(uint16_t tcp_port, uint16_t dns_port) {
  static struct netlink_batch b;
  memset(&b, 0, sizeof b);
  frame_batch(&b, NFNL_MSG_BATCH_BEGIN);
  message(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  netlink_text(&b, NFTA_TABLE_NAME, TABLE);
  chain(&b, REDIRECT_CHAIN, "nat", NAT_PRIORITY, NF_ACCEPT);
  chain(&b, FILTER_CHAIN, "filter", 0, NF_DROP);
  const char *const both[] = {REDIRECT_CHAIN, FILTER_CHAIN};
  for (size_t i = 0; i < 2; i++) {
    accept_local(&b, both[i], INADDR_LOOPBACK & 0xff000000u, 0xff000000u);
    accept_local(&b, both[i], EGRESS_ADDRESS, 0xffffffffu);
  }
  redirect(&b, IPPROTO_TCP, 0, tcp_port, 0);
  redirect(&b, IPPROTO_UDP, 53, dns_port, NLM_F_ACK);
  uint32_t last = b.sequence;
  frame_batch(&b, NFNL_MSG_BATCH_END);
  return netlink_send(NETLINK_NETFILTER, &b, last);
}
