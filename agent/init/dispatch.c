/* A connection child: reads one request after the other and answers each, until the connection ends. */
#include "agent.h"

#include <sys/socket.h>
#include <time.h>

#define LINGER_IDLE_S 30
#define PAUSE_MAX_NS 5000000

static bool dropped;

/* File requests run as the sandbox's user, without any capability. There is no way back for this process: from here
   on it serves file requests alone. What it held of the host is closed first. */
bool become_user(void) {
  if (dropped) return true;
  const char *failed = NULL;
  close(agent.dir_fd);
  close(agent.proc_fd);
  close(agent.deadline_fd);
  agent.dir_fd = agent.proc_fd = agent.deadline_fd = -1;
  if (!drop_privileges(agent.uid, agent.gid, false, &failed)) return false;
  dropped = true;
  return true;
}

bool garbage(int fd) {
  send_error(fd, EPROTO, "frame", NULL);
  return false;
}

static uint64_t remaining_ms(void) {
  int64_t left = __atomic_load_n(&agent.deadline->at_ms, __ATOMIC_SEQ_CST) - clock_ms(CLOCK_BOOTTIME);
  return left > 0 ? (uint64_t)left : 0;
}

static bool serve_ping(int fd, struct frame *frame) {
  if (frame->len != 0) return garbage(fd);
  struct reply r;
  reply_begin(&r, ANS_OK);
  reply_number(&r, TAG_PROTOCOL, PROTOCOL);
  reply_number(&r, TAG_REMAINING_MS, remaining_ms());
  reply_number(&r, TAG_EGRESS, agent.egress);
  return reply_send(fd, &r);
}

static bool serve_deadline(int fd, struct frame *frame) {
  uint64_t ms = 0;
  const struct field wanted[] = {{TAG_MS, FIELD_NUMBER, true, &ms}};
  if (!fields_read(frame->body, frame->len, wanted, 1)) return garbage(fd);
  if (dropped) return send_error(fd, EPERM, "deadline", NULL);
  if (ms > DURATION_MAX) ms = DURATION_MAX;
  uint64_t before = __atomic_load_n(&agent.deadline->changes, __ATOMIC_SEQ_CST);
  if (write(agent.deadline_fd, &ms, sizeof ms) != (ssize_t)sizeof ms) {
    return send_error(fd, errno, "deadline", NULL);
  }
  /* The answer means that the new deadline is in force, so it waits until PID 1 has taken it, however long that is on a
     busy machine: PID 1 takes this process along when it ends. */
  struct timespec pause = {.tv_nsec = 50000};
  while (__atomic_load_n(&agent.deadline->changes, __ATOMIC_SEQ_CST) == before) {
    nanosleep(&pause, NULL);
    if (pause.tv_nsec < PAUSE_MAX_NS) pause.tv_nsec *= 2;
  }
  struct reply r;
  reply_begin(&r, ANS_OK);
  reply_number(&r, TAG_REMAINING_MS, remaining_ms());
  return reply_send(fd, &r);
}

static bool serve_shutdown(int fd, struct frame *frame) {
  if (frame->len != 0) return garbage(fd);
  if (dropped) return send_error(fd, EPERM, "shutdown", NULL);
  /* Answered first: this process ends with PID 1, and its connection then tells the peer that the end has come. */
  const uint64_t now = DEADLINE_NOW;
  return send_empty(fd, ANS_OK) && write(agent.deadline_fd, &now, sizeof now) == (ssize_t)sizeof now;
}

static bool serve_run(int fd, struct frame *frame) {
  if (dropped) return send_error(fd, EPERM, "run", NULL);
  run_command(fd, frame);
}

static bool serve_shell_request(int fd, struct frame *frame) {
  if (dropped) return send_error(fd, EPERM, "shell", NULL);
  serve_shell(fd, frame);
}

bool serve_frame(int fd, struct frame *frame) {
  switch (frame->type) {
    case REQ_PING: return serve_ping(fd, frame);
    case REQ_DEADLINE: return serve_deadline(fd, frame);
    case REQ_RUN: return serve_run(fd, frame);
    case REQ_SHUTDOWN: return serve_shutdown(fd, frame);
    case REQ_SHELL: return serve_shell_request(fd, frame);
    case REQ_STAT:
    case REQ_MKDIR:
    case REQ_READ:
    case REQ_WRITE:
    case REQ_TREE_READ:
    case REQ_TREE_WRITE:
    case REQ_CONNECT: break;
    default: return garbage(fd);
  }
  if (!become_user()) return send_error(fd, errno, "drop", NULL) && false;
  switch (frame->type) {
    case REQ_STAT: return serve_stat(fd, frame);
    case REQ_MKDIR: return serve_mkdir(fd, frame);
    case REQ_READ: return serve_read(fd, frame);
    case REQ_WRITE: return serve_write(fd, frame);
    case REQ_TREE_READ: return serve_tree_read(fd, frame);
    case REQ_TREE_WRITE: return serve_tree_write(fd, frame);
    default: return serve_connect(fd, frame);
  }
}

_Noreturn void serve_connection(int fd) {
  static struct frame frame;
  for (;;) {
    /* No time limit: on a busy machine a peer may take long, and the kernel closes the connection of one that died. */
    enum got got = frame_read(fd, &frame);
    if (got == GOT_GARBAGE) garbage(fd);
    if (got != GOT_FRAME || !serve_frame(fd, &frame)) break;
  }
  /* Closing on unread bytes resets the connection, and the peer may lose an answer that it has not read yet. */
  struct timeval idle = {.tv_sec = LINGER_IDLE_S};
  if (shutdown(fd, SHUT_WR) == 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle) == 0) {
    static uint8_t rest[DATA_MAX];
    while (recv(fd, rest, sizeof rest, 0) > 0) continue;
  }
  _exit(0);
}
