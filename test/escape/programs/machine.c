/* Terminals, and calls that only this processor architecture has. */
#include "attempt.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif

/* A request to its own controlling terminal. */
static long terminal(unsigned long request, void *argument) {
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return -1;
  setsid();
  int slave = open(ptsname(master), O_RDWR);
  if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0) return -1;
  return syscall(SYS_ioctl, slave, request, argument);
}

static int discipline;
static char paste[] = {3};

#ifdef __x86_64__
static long old_call(void) {
  long result;
  /* getpid of the 32-bit system calls, which the filter does not know. */
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
  if (result < 0) errno = (int)-result;
  return result < 0 ? -1 : 0;
}
static long ldt(void) {
  char entry[16];
  return syscall(SYS_modify_ldt, 0, entry, sizeof entry);
}
#define PROCESSOR(X) \
  X(iopl, syscall(SYS_iopl, 3)) \
  X(ioperm, syscall(SYS_ioperm, 0x80ul, 1ul, 1)) \
  X(modify_ldt, ldt()) \
  X(old_call, old_call()) \
  X(x32_call, syscall(0x40000000 | SYS_getpid))
#else
#define PROCESSOR(X)
#endif

#define MACHINE(X) \
  X(type_for_others, terminal(TIOCSTI, "x")) \
  X(type_high_bits, terminal(0x100000000ul | TIOCSTI, "x")) \
  X(paste_for_others, terminal(TIOCLINUX, paste)) \
  X(line_discipline, terminal(TIOCSETD, &discipline)) \
  X(terminal_size, terminal(TIOCGWINSZ, (char[64]){0})) \
  PROCESSOR(X)

MACHINE(DEFINE)
const struct attempt machine_attempts[] = {MACHINE(LIST){NULL, NULL}};
