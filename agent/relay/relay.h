/* `agent carry`, on the host: moves the bytes that leave a sandbox, as the server says. See docs/agent-protocol.md. */
#ifndef CARRY_H
#define CARRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CARRY_CONTROL_FD 3
#define CARRY_AGENT_DIR_FD 4
#define CARRY_STREAM_DIR_FD 5
#define CARRY_BODY_MAX 65536u
#define CARRY_LOOK_MAX 98304u /* what is kept of a program's first bytes while the server makes up its mind */
#define CARRY_LINKS_MAX 1024u

enum {
  CARRY_READY = 96, CARRY_FAILED, CARRY_FREED, CARRY_OPENED, CARRY_SENT, CARRY_DIALLED, CARRY_CLOSED, CARRY_TOTALS,
  CARRY_SPENT, CARRY_QUERY,
  CARRY_LISTEN = 112, CARRY_WATCH, CARRY_LOOK, CARRY_DIAL, CARRY_RELEASE, CARRY_TAKE, CARRY_END, CARRY_CUT, CARRY_LIMIT,
  CARRY_ANSWER
};

/* What the loop waits for: a descriptor, and who is told. */
struct source {
  void (*ready)(struct source *source, uint32_t events);
  int fd;
  uint32_t watched; /* what it is armed for, if it is */
  bool armed;       /* each event comes once, until it is armed anew: nothing that stays true keeps the loop busy */
  bool gone;        /* has hung up */
};

/* carry-main.c */
bool carry_add(struct source *source, uint32_t events);
bool carry_watch(struct source *source, uint32_t events);
/* Out of the loop, then closed: a copy that the sandbox keeps of the descriptor must not be heard of again. */
void carry_close(struct source *source);

/* carry-control.c */
bool carry_control_begin(void);
int carry_totals_due(void); /* how long the loop may wait, in ms; -1: for ever */
void carry_tell(uint8_t type, const void *a, size_t a_len, const void *b, size_t b_len);
void carry_tell_number(uint8_t type, uint32_t number);
void carry_tell_totals(void);

/* carry-listen.c */
void carry_listen(void);
void carry_watch_successor(void);

/* carry-gate.c: what the agent hands over */
void carry_gate_accept(int fd);
void carry_answer(const uint8_t *body, size_t len);

/* carry-links.c */
enum { INSIDE, OUTSIDE };
/* How a program's bytes go out: on and on; not before the server has seen them; or not at all, but for a request given. */
enum { DIAL_PASS, DIAL_HOLD, DIAL_REQUEST };
enum link_state { LINK_WAITING, LINK_LOOKING, LINK_DIALLING, LINK_MOVING, LINK_ENDING };

struct half {
  uint8_t *kept; /* read, and not taken by the other end yet */
  size_t len, sent;
  bool ended, told;
};

struct link {
  struct source end[2];
  struct half from[2];
  enum link_state state;
  uint32_t id;
  uint64_t bytes[2]; /* carried from each end */
  bool held;         /* what the program sends is shown to the server, and waits */
  bool one_way;      /* all that goes out was given by the server: what the program sends on is dropped at the end */
  bool dead;
  struct link *next;
};

void carry_open(int inside, const uint8_t to[6]);
struct link *carry_link(uint32_t id);
void carry_look(struct link *l);
void carry_dial(struct link *l, const uint8_t to[6], uint8_t mode, const uint8_t *request, size_t len);
void carry_release(struct link *l);
void carry_take(struct link *l);
void carry_end(struct link *l, const uint8_t *words, size_t len);
void carry_bury(struct link *l, bool abruptly);
void carry_cut_all(void);
void carry_turn_end(void);

/* carry-move.c */
extern uint64_t carry_totals[2], carry_limit;
bool carry_spent(void);
bool carry_look_on(struct link *l);
void carry_count(struct link *l, int side, size_t bytes);
bool carry_keep(struct half *h, const uint8_t *bytes, size_t len);
void carry_forget(struct half *h);
void carry_move(struct link *l);
void carry_finish(struct link *l);

#endif
