/* What a process knows of the program whose orphans come to it: a command's supervisor, a terminal's relay. */
#ifndef REAP_H
#define REAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct reaper {
  int signal_fd; /* readable when a child has ended */
  pid_t first;   /* the program's own process */
  bool ended;    /* the first one; `status` then says how */
  int status;
  int64_t ended_at, ended_mono; /* when it was reaped: ms since the epoch, and of `now_ms` */
  bool children; /* false once no descendant is left */
  bool again;    /* there may be more to reap at once */
};
bool reaper_open(struct reaper *r, const char **what);
void reaper_heard(const struct reaper *r); /* empties `signal_fd` */
void reap_children(struct reaper *r);
void reap_first(const struct reaper *r); /* waits */

#endif
