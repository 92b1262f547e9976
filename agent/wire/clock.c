#include "agent.h"

int64_t clock_ms(clockid_t clock) {
  struct timespec t;
  /* Only a clock that this kernel does not have fails, and every clock used here is older than the agent needs. */
  if (clock_gettime(clock, &t) != 0) return 0;
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
