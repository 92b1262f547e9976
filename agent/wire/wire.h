/* Room wire: the protocol's frames and fields, sockets and clocks. The contract is docs/agent-protocol.md. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define PROTOCOL_VERSION 1
#define BODY_MAX 2097152u
#define DATA_MAX 65536u
#define FRAME_HEADER 5u
#define DURATION_MAX ((uint64_t)1 << 40)

/* Grouped as in the tables of docs/agent-protocol.md. */
/* clang-format off */
enum {
  REQ_PING = 1, REQ_DEADLINE, REQ_RUN, REQ_STAT, REQ_MKDIR, REQ_READ, REQ_WRITE, REQ_TREE_READ, REQ_TREE_WRITE,
  REQ_CONNECT, REQ_SHUTDOWN, REQ_SHELL, REQ_LIST, REQ_SCAN,
  REQ_LISTENERS,
  REQ_ATTACH = 20, REQ_KILL, REQ_RESIZE,
  ANS_OK = 64, ANS_ERROR, ANS_STARTED, ANS_OUTPUT, ANS_EXIT, ANS_STAT, ANS_ENTRY, ANS_DATA, ANS_END
};

enum {
  TAG_MS = 1, TAG_ID, TAG_ARGV, TAG_ENV, TAG_CWD, TAG_SUDO, TAG_TIMEOUT_MS, TAG_GRACE_MS, TAG_NPROC, TAG_PATH,
  TAG_OFFSET, TAG_LIMIT, TAG_WRITE_MODE, TAG_PORT, TAG_SIGNAL, TAG_CAUSE,
  TAG_COLS, TAG_ROWS, TAG_PATHS, TAG_AFTER, TAG_DETAILS, TAG_LITERALS, TAG_FOLD,
  TAG_STDIN,
  TAG_PROTOCOL = 40, TAG_REMAINING_MS, TAG_FILES, TAG_BYTES, TAG_SIGNALLED, TAG_EGRESS, TAG_FILE_TIMES,
  TAG_ERRNO = 50, TAG_WHAT, TAG_ERROR_PATH, TAG_STDOUT_SO_FAR = 54, TAG_STDERR_SO_FAR, TAG_KIND, TAG_SIZE,
  TAG_MODE, TAG_MTIME_MS, TAG_ENTRY_PATH, TAG_LINK, TAG_CHANGED_US,
  TAG_EXIT_CODE = 70, TAG_EXIT_SIGNAL, TAG_EXIT_CAUSE, TAG_DURATION_MS = 74, TAG_STDOUT_BYTES,
  TAG_STDERR_BYTES
};
/* clang-format on */

enum { CAUSE_EXIT, CAUSE_KILLED, CAUSE_CANCELLED, CAUSE_SESSION_END, CAUSE_TIMEOUT };

/* Messages between the agent inside and the relay on the host. */
#define EGRESS_TCP 32
#define EGRESS_DATAGRAM 34
#define EGRESS_DATAGRAM_MAX 4096u

/* clock.c */
int64_t clock_ms(clockid_t clock);
int64_t now_ms(void); /* CLOCK_MONOTONIC */

/* frame.c: blocking frames of a connection process */
enum frame_result { FRAME_OK, FRAME_CLOSED, FRAME_INVALID };
struct frame {
  uint8_t type;
  uint32_t len;
  uint32_t capacity;
  uint8_t *body;
};
/* The longest body of a type; UINT32_MAX for a type that is never received. */
uint32_t frame_limit(uint8_t type);
uint32_t load_u32(const uint8_t *p);
uint64_t load_u64(const uint8_t *p);
void store_u32(uint8_t *p, uint32_t v);
void store_u64(uint8_t *p, uint64_t v);
enum frame_result frame_read(int fd, struct frame *frame);
bool send_all(int fd, const void *data, size_t len);
bool write_all(int fd, const void *data, size_t len);

/* reply.c */
#define REPLY_MAX 8448u
struct reply {
  size_t len;
  uint8_t bytes[REPLY_MAX];
};
void reply_begin(struct reply *r, uint8_t type);
void reply_number(struct reply *r, uint8_t tag, uint64_t value);
void reply_bytes(struct reply *r, uint8_t tag, const void *data, size_t len);
void reply_string(struct reply *r, uint8_t tag, const char *text);
void reply_end(struct reply *r);
bool reply_send(int fd, struct reply *r); /* calls reply_end */
void reply_error(struct reply *r, int error, const char *what, const char *path);
bool send_error(int fd, int error, const char *what, const char *path);
bool send_protocol_error(int fd); /* always false: the connection is over */
bool send_empty(int fd, uint8_t type);

/* fields.c */
enum field_kind { FIELD_NUMBER, FIELD_STRING, FIELD_STRINGS };
struct string_list {
  char **items; /* ends with NULL */
  size_t count;
};
struct field {
  uint8_t tag;
  enum field_kind kind;
  bool required;
  void *out; /* uint64_t *, char **, struct string_list * */
};
bool fields_read(uint8_t *body, size_t len, const struct field *wanted, size_t count);

/* listener.c */
int listen_at(int dir_fd,
              const char *name); /* creates that socket in that directory; leaves the working directory at / */
bool peer_is_outside(int fd);
/* Whether the peer has closed its end. What it sent before may still be unread. */
bool peer_has_left(int fd);
int accept_outside(int listen_fd); /* -1: no connection, or from a process of this pid namespace */

#endif
