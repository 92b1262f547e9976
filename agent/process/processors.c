/* The processors a program counts. */
#include "process/process.h"

#include <sched.h>

/* The kernel's own limit on x86-64. */
#define MAX_PROCESSORS 8192
#define SET_SIZE CPU_ALLOC_SIZE(MAX_PROCESSORS)

void narrow_affinity(unsigned count) {
  cpu_set_t allowed[SET_SIZE / sizeof(cpu_set_t)], chosen[SET_SIZE / sizeof(cpu_set_t)];
  if (count == 0 || sched_getaffinity(0, SET_SIZE, allowed) != 0) return;
  if ((unsigned)CPU_COUNT_S(SET_SIZE, allowed) <= count) return;
  int first = sched_getcpu();
  if (first < 0) first = 0;
  CPU_ZERO_S(SET_SIZE, chosen);
  for (int i = 0; i < MAX_PROCESSORS && count > 0; i++) {
    int cpu = (first + i) % MAX_PROCESSORS;
    if (!CPU_ISSET_S(cpu, SET_SIZE, allowed)) continue;
    CPU_SET_S(cpu, SET_SIZE, chosen);
    count--;
  }
  (void)sched_setaffinity(0, SET_SIZE, chosen);
}
