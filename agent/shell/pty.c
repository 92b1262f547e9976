/* A pseudo-terminal of the sandbox's own devpts. */
#include "agent.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

/* Not /dev/ptmx: root inside may have put something else there, while a devpts holds nothing but its own. */
#define PTMX "/dev/pts/ptmx"

static int open_slave(int master) {
  int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd >= 0) return fd;
  /* A kernel without it (gVisor): by name. */
  unsigned number = 0;
  char path[32];
  if (ioctl(master, TIOCGPTN, &number) != 0) return -1;
  snprintf(path, sizeof path, "/dev/pts/%u", number);
  return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
}

bool terminal_resize(int fd, uint16_t cols, uint16_t rows) {
  struct winsize size = {.ws_col = cols, .ws_row = rows};
  return ioctl(fd, TIOCSWINSZ, &size) == 0;
}

bool terminal_open(struct shell *s, uint16_t cols, uint16_t rows, uid_t uid, gid_t gid) {
  struct stat st;
  struct termios modes;
  int unlocked = 0;
  s->master = open(PTMX, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (s->master < 0 || fstat(s->master, &st) != 0) return false;
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2)) {
    errno = ENODEV;
    return false;
  }
  if (ioctl(s->master, TIOCSPTLCK, &unlocked) != 0) return false;
  s->slave = open_slave(s->master);
  if (s->slave < 0 || !terminal_resize(s->slave, cols, rows)) return false;
  if (tcgetattr(s->slave, &modes) != 0) return false;
  /* Erasing takes a whole character of several bytes. */
  modes.c_iflag |= IUTF8;
  if (tcsetattr(s->slave, TCSANOW, &modes) != 0) return false;
  /* Lets programs open their terminal by its name; the few that do manage without. */
  (void)!fchown(s->slave, uid, gid);
  return true;
}
