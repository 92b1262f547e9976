/*
 * Room relay: `agent relay`, on the host. It holds the connections that leave a sandbox and copies their bytes as the
 * server decides. See docs/agent-protocol.md.
 */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/wire.h"

#define CONTROL_FD 3
#define AGENT_DIR_FD 4
#define STREAM_DIR_FD 5
#define CONTROL_BODY_MAX 65536u
#define SNIFF_MAX 98304u /* bytes of a program that are kept while the server decides */
#define CONNECTIONS_MAX 1024u

/* Grouped as in the tables of docs/agent-protocol.md. */
/* clang-format off */
enum {
  RELAY_LISTENING = 96, RELAY_LISTEN_FAILED, RELAY_SUCCESSOR_EXITED, RELAY_OPENED, RELAY_SNIFFED, RELAY_CONNECTED,
  RELAY_CLOSED, RELAY_TOTALS, RELAY_QUOTA_EXCEEDED, RELAY_DNS_QUERY,
  RELAY_LISTEN = 112, RELAY_WATCH_SUCCESSOR, RELAY_SNIFF, RELAY_CONNECT, RELAY_RELEASE, RELAY_INTERCEPT, RELAY_RESPOND,
  RELAY_RESET, RELAY_QUOTA, RELAY_DNS_ANSWER
};
/* clang-format on */

/* relay-main.c */
int relay_main(int argc, char **argv);

/* relay-loop.c: the event loop. A descriptor, and the function that its events are passed to. */
struct source {
  void (*ready)(struct source *source, uint32_t events);
  int fd;
  uint32_t watched; /* the events it is armed for, if it is armed */
  bool armed;       /* an event disarms it (EPOLLONESHOT), so that a lasting condition cannot spin the loop */
  bool hung_up;
};
bool loop_open(void);
bool loop_add(struct source *source, uint32_t events);
bool loop_watch(struct source *source, uint32_t events);
/* Removes it before closing it: the sandbox may keep a copy of the descriptor, whose events must not arrive here. */
void loop_close(struct source *source);
void loop_turn(int timeout_ms);

/*
 * relay-notify.c: frames to the server. They are queued, so that a server that does not read stalls nothing but itself.
 */
void notify(uint8_t type, const void *a, size_t a_len, const void *b, size_t b_len);
void notify_number(uint8_t type, uint32_t number);
void notify_totals(void);
bool notify_is_full(void); /* stop reading from the sandbox anything that the server must be notified of */
bool notify_flush(void);   /* false: frames are left, because the server is not reading */
int notify_timeout(void);  /* ms until the totals are due; -1 when nothing is */

/* relay-control.c: the server's commands */
bool control_open(void);
void control_turn_end(void);

/* relay-listener.c */
void listener_open(void);
void listener_watch_successor(void);

/* relay-intake.c: what the agent passes to the relay */
void intake_add_peer(int fd);
void intake_resume(void);
void intake_dns_answer(const uint8_t *body, size_t len);

/* relay-connections.c */
enum { INSIDE, OUTSIDE };
/* Forward at once; forward after RELEASE; or send only the request that the server gives. */
enum connect_mode { CONNECT_FORWARD, CONNECT_HOLD, CONNECT_REQUEST };
enum connection_state { STATE_WAITING, STATE_SNIFFING, STATE_CONNECTING, STATE_OPEN, STATE_CLOSING };

/* One direction: bytes read from one end and not yet sent to the other. */
struct direction {
  uint8_t *buffer;
  size_t len, sent;
  bool eof, eof_sent;
};

struct connection {
  struct source end[2];
  struct direction from[2];
  enum connection_state state;
  uint32_t id;
  uint64_t bytes[2]; /* copied from each end */
  bool held;         /* CONNECT_HOLD: the server sees what the program sends, and it waits for RELEASE */
  bool one_way;      /* CONNECT_REQUEST: what the program sends is discarded at the end */
  bool dead;
  struct connection *next;
};

void connection_open(int inside, const uint8_t to[6]);
struct connection *connection_find(uint32_t id);
void connection_sniff(struct connection *c);
void connection_connect(struct connection *c, const uint8_t to[6], uint8_t mode, const uint8_t *request, size_t len);
void connection_release(struct connection *c);
void connection_intercept(struct connection *c);
void connection_respond(struct connection *c, const uint8_t *bytes, size_t len);
void connection_close(struct connection *c, bool reset);
void connections_reset_all(void);
void connections_resume(void);
void connections_turn_end(void);

/* relay-copy.c */
enum copy_result { COPY_CONTINUE, COPY_CLOSE, COPY_RESET, COPY_DRAIN, COPY_QUOTA };
enum copy_result copy_both(struct connection *c);  /* both directions, as far as possible without blocking */
enum copy_result copy_final(struct connection *c); /* the last bytes to the program; discards what it sends */
bool copy_sniff(struct connection *c);             /* false: the connection is broken */
uint32_t copy_events(const struct connection *c, int side);
bool buffer_append(struct direction *d, const uint8_t *bytes, size_t len);
void buffer_free(struct direction *d);

/* relay-quota.c */
extern uint64_t total_bytes[2], quota;
bool quota_exceeded(void);
void count_bytes(struct connection *c, int side, size_t bytes);

#endif
