/* Moves output from the command's pipes to its log, whether or not a client is attached. */
#include "command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define READS_PER_TURN 32
#define WIDE_PIPE (1 << 20)

static uint8_t buffer[DATA_MAX];

/* Returns the bytes read; 0 when there is nothing to read now, or ever. */
static size_t read_once(struct output_pump *p, struct output_log *log, int stream, size_t most) {
  size_t room = output_log_room(log);
  if (most < room) room = most;
  ssize_t n = read(p->fd[stream], buffer, room);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return 0;
    n = 0;
  }
  if (n == 0) {
    /* All writers have closed it. */
    close(p->fd[stream]);
    p->fd[stream] = -1;
    return 0;
  }
  output_log_append(log, stream, buffer, (size_t)n);
  return (size_t)n;
}

void output_pump_read(struct output_pump *p, struct output_log *log, int stream) {
  /* Bounded, so that a flood of output does not delay clients and timers. */
  for (int i = 0; i < READS_PER_TURN && p->fd[stream] >= 0; i++) {
    size_t n = read_once(p, log, stream, DATA_MAX);
    if (n == 0) return;
    if (n == DATA_MAX && !p->widened[stream]) {
      /* Only during a flood, since large pipes count against a per-user limit. Without one, output is just slower. */
      p->widened[stream] = true;
      (void)fcntl(p->fd[stream], F_SETPIPE_SZ, WIDE_PIPE);
    }
    if (n < 4096) return;
  }
}

/* Reads what the pipes hold now, but not what is written while it reads. */
void output_pump_drain(struct output_pump *p, struct output_log *log) {
  for (int stream = 0; stream < 2; stream++) {
    int held = 0;
    if (p->fd[stream] < 0 || ioctl(p->fd[stream], FIONREAD, &held) != 0) continue;
    size_t left = held > 0 ? (size_t)held : 0;
    while (left > 0 && p->fd[stream] >= 0) {
      size_t n = read_once(p, log, stream, left);
      if (n == 0) break;
      left -= n;
    }
  }
}
