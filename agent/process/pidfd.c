/* Signals that cannot reach another process which was given a recycled pid in the meantime. */
#include "process/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Not in the headers of every C library. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

int pidfd_open_process(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0u); }

int signal_process(int pidfd, pid_t pid, int sig) {
  if (pidfd < 0) return kill(pid, sig);
  int result = (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0u);
  /* A kernel or a filter that offers one of the two calls without the other. */
  return result != 0 && errno == ENOSYS ? kill(pid, sig) : result;
}
