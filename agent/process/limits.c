/* Resource limits, which this program only ever lowers. */
#include "process/process.h"

#include <sys/resource.h>

bool lower_limit(int resource, uint64_t to) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return false;
  if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > to) limit.rlim_max = to;
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
  return setrlimit(resource, &limit) == 0;
}
