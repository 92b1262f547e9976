/* Moves output from the command's pipes to its log, whether or not anybody listens. */
#include "agent.h"

#include <sys/ioctl.h>

#define READS_A_TURN 32
#define WIDE_PIPE (1 << 20)

static uint8_t buffer[DATA_MAX];

/* Returns what was read, 0 when there is nothing (more) to read now. */
static size_t pump_some(struct pump *p, struct capture *c, int stream, size_t most) {
  size_t room = capture_room(c);
  if (most < room) room = most;
  ssize_t n = read(p->fd[stream], buffer, room);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return 0;
    n = 0;
  }
  if (n == 0) {
    /* Every writer is gone. */
    close(p->fd[stream]);
    p->fd[stream] = -1;
    return 0;
  }
  capture_append(c, stream, buffer, (size_t)n);
  return (size_t)n;
}

void pump_ready(struct pump *p, struct capture *c, int stream) {
  /* Bounded, so that neither a flood on one stream nor on both keeps clients and timers waiting. */
  for (int i = 0; i < READS_A_TURN && p->fd[stream] >= 0; i++) {
    size_t n = pump_some(p, c, stream, DATA_MAX);
    if (n == 0) return;
    if (n == DATA_MAX && !p->widened[stream]) {
      /* Only for a flood: wide pipes count against a limit that all commands of a user share. Slower without. */
      p->widened[stream] = true;
      (void)fcntl(p->fd[stream], F_SETPIPE_SZ, WIDE_PIPE);
    }
    if (n < 4096) return;
  }
}

/* What the pipes hold at this moment, and not what others go on writing to them. */
void pump_rest(struct pump *p, struct capture *c) {
  for (int stream = 0; stream < 2; stream++) {
    int held = 0;
    if (p->fd[stream] < 0 || ioctl(p->fd[stream], FIONREAD, &held) != 0) continue;
    size_t left = held > 0 ? (size_t)held : 0;
    while (left > 0 && p->fd[stream] >= 0) {
      size_t n = pump_some(p, c, stream, left);
      if (n == 0) break;
      left -= n;
    }
  }
}
