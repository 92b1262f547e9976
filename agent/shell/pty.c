/* Opens a pseudo-terminal of the sandbox's own devpts. */
#include "shell/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

/* Not /dev/ptmx, which root inside may have replaced; a devpts contains only its own devices. */
#define PTMX "/dev/pts/ptmx"

static int open_tty(int ptm) {
  int fd = ioctl(ptm, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd >= 0) return fd;
  /* Kernels without TIOCGPTPEER (gVisor) need the name. */
  unsigned number = 0;
  char path[32];
  if (ioctl(ptm, TIOCGPTN, &number) != 0) return -1;
  snprintf(path, sizeof path, "/dev/pts/%u", number);
  return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
}

bool pty_resize(int fd, uint16_t cols, uint16_t rows) {
  struct winsize size = {.ws_col = cols, .ws_row = rows};
  return ioctl(fd, TIOCSWINSZ, &size) == 0;
}

bool pty_open(struct shell *s, uint16_t cols, uint16_t rows, uid_t uid, gid_t gid) {
  struct stat st;
  struct termios modes;
  int unlocked = 0;
  s->ptm = open(PTMX, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (s->ptm < 0 || fstat(s->ptm, &st) != 0) return false;
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2)) {
    errno = ENODEV;
    return false;
  }
  if (ioctl(s->ptm, TIOCSPTLCK, &unlocked) != 0) return false;
  s->tty = open_tty(s->ptm);
  if (s->tty < 0 || !pty_resize(s->tty, cols, rows)) return false;
  if (tcgetattr(s->tty, &modes) != 0) return false;
  /* Backspace then erases a whole UTF-8 character. */
  modes.c_iflag |= IUTF8;
  if (tcsetattr(s->tty, TCSANOW, &modes) != 0) return false;
  /* Lets programs open their terminal by name. Best effort: the few that do can cope without. */
  (void)!fchown(s->tty, uid, gid);
  return true;
}
