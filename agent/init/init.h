/* Room init: PID 1 and the processes that it forks for its connections. */
#ifndef INIT_H
#define INIT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/wire.h"

/* init.c */
int init_main(int argc, char **argv);

/* layout.c */
bool create_layout(uid_t uid, gid_t gid, const char **failed);

/* event-loop.c */
_Noreturn void event_loop(int listen_fd, int64_t deadline_at);

/* owners.c: without owners_open, the sandbox has no owners and lives to its deadline */
#define OWNERS_SOCKET "owners"
#define OWNERS_MAX 16
/* `first_fd`: the connection of the server that creates the sandbox. */
bool owners_open(int first_fd, int listen_fd);
void owners_close(void);
/* Fills in what to poll, at most OWNERS_MAX + 1; returns how many. */
size_t owners_watch(struct pollfd *p);
/* Handles new and closed connections. False: the last owner is gone. */
bool owners_check(void);

/* deadline.c: connection processes ask PID 1 for a new deadline through a pipe, and read it from a shared page */
#define DEADLINE_NOW UINT64_MAX /* in the pipe: end at once, as requested from outside */
struct deadline_page {
  int64_t at_ms; /* CLOCK_BOOTTIME */
  uint64_t changes;
};
struct deadline {
  struct deadline_page *page; /* written by PID 1, read by its children */
  int read_fd, write_fd;      /* the pipe that PID 1 reads new deadlines from */
};
extern struct deadline deadline;
bool deadline_open(int64_t at_ms, const char **failed);
uint64_t deadline_remaining_ms(void);
/* Requests a new deadline and waits until it applies. */
bool deadline_request(uint64_t ms);

/* dispatch.c */
_Noreturn void serve_connection(int fd);
bool serve_frame(int fd, struct frame *frame); /* false: the connection is over */
bool become_user(void);

#endif
