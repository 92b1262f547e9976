#include "command/command.h"

/* Starts to kill the whole tree; the supervisor's loop repeats rounds until no descendant is left. */
void start_kill(struct supervisor *s) {
  if (s->killing) return;
  s->killing = true;
  s->killing_since = now_ms();
  kill_tree_begin();
  s->round_wait = 1;
  s->next_round = now_ms();
}
