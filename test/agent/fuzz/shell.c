/* Replaces shell.c and pty.c: a terminal that takes a few bytes at a time. */
#include "stand-ins.h"

#include <stdlib.h>
#include <string.h>

unsigned sizes;

_Noreturn void serve_shell(int fd, struct frame *frame) {
  (void)fd, (void)frame;
  die("an invalid SHELL was accepted");
}

bool pty_resize(int fd, uint16_t cols, uint16_t rows) {
  if (fd < 0 || cols == 0 || rows == 0) die("a window without cells was accepted");
  sizes++;
  return true;
}

/* Reads everything that a client has sent, as the terminal's supervisor does. */
void feed_shell(int client) {
  static struct shell s;
  int pipes[2];
  uint8_t bytes[512];
  if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) != 0 || fcntl(pipes[1], F_SETPIPE_SZ, 4096) < 0) die("pipe");
  memset(&s, 0, sizeof s);
  s.client = client;
  s.ptm = pipes[1];
  for (int i = 0; i < 4096 && !s.closed; i++) {
    if (s.typed_end > 0) {
      while (read(pipes[0], bytes, sizeof bytes) > 0) continue;
      shell_type(&s);
    } else {
      shell_receive(&s);
    }
    if (s.in_len > sizeof s.in || s.typed_at > s.typed_end || s.typed_end > s.in_len) die("bounds");
  }
  if (!s.closed) die("a client that was not removed");
  close(pipes[0]);
  close(pipes[1]);
}
