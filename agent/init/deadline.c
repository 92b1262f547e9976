/* How connection processes learn of the deadline, and ask PID 1 for another one. */
#include "init/init.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAUSE_MAX_NS 5000000

struct deadline deadline = {.read_fd = -1, .write_fd = -1};

bool deadline_open(int64_t at_ms, const char **failed) {
  int fds[2];
  *failed = "mmap";
  deadline.page = mmap(NULL, sizeof *deadline.page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (deadline.page == MAP_FAILED) return false;
  deadline.page->at_ms = at_ms;
  *failed = "pipe";
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return false;
  deadline.read_fd = fds[0];
  deadline.write_fd = fds[1];
  return true;
}

uint64_t deadline_remaining_ms(void) {
  int64_t left = __atomic_load_n(&deadline.page->at_ms, __ATOMIC_SEQ_CST) - clock_ms(CLOCK_BOOTTIME);
  return left > 0 ? (uint64_t)left : 0;
}

bool deadline_request(uint64_t ms) {
  uint64_t before = __atomic_load_n(&deadline.page->changes, __ATOMIC_SEQ_CST);
  if (write(deadline.write_fd, &ms, sizeof ms) != (ssize_t)sizeof ms) return false;
  /* No time limit, even on a busy machine: this process ends with PID 1. */
  struct timespec pause = {.tv_nsec = 50000};
  while (__atomic_load_n(&deadline.page->changes, __ATOMIC_SEQ_CST) == before) {
    nanosleep(&pause, NULL);
    if (pause.tv_nsec < PAUSE_MAX_NS) pause.tv_nsec *= 2;
  }
  return true;
}
