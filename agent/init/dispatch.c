/* A connection process: reads and answers one request after the other until the connection ends. */
#include "init/init.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command/command.h"
#include "egress/egress.h"
#include "files/files.h"
#include "process/process.h"
#include "shell/shell.h"

#define LINGER_IDLE_S 30

static bool dropped;

/* File requests run as the sandbox's user, without any capability. This is irreversible: from here on the process serves only
   file requests. Its descriptors of the host are closed first. */
bool become_user(void) {
  if (dropped) return true;
  const char *failed = NULL;
  close(agent.dir_fd);
  close(agent.proc_fd);
  close(deadline.write_fd);
  agent.dir_fd = agent.proc_fd = deadline.write_fd = -1;
  if (!drop_privileges(agent.uid, agent.gid, false, &failed)) return false;
  dropped = true;
  return true;
}

static bool serve_ping(int fd, struct frame *frame) {
  if (frame->len != 0) return send_protocol_error(fd);
  struct reply r;
  reply_begin(&r, ANS_OK);
  reply_number(&r, TAG_PROTOCOL, PROTOCOL_VERSION);
  reply_number(&r, TAG_REMAINING_MS, deadline_remaining_ms());
  reply_number(&r, TAG_EGRESS, egress.enabled);
  reply_number(&r, TAG_FILE_TIMES, 1);
  return reply_send(fd, &r);
}

static bool serve_deadline(int fd, struct frame *frame) {
  uint64_t ms = 0;
  const struct field wanted[] = {{TAG_MS, FIELD_NUMBER, true, &ms}};
  if (!fields_read(frame->body, frame->len, wanted, 1)) return send_protocol_error(fd);
  if (dropped) return send_error(fd, EPERM, "deadline", NULL);
  if (ms > DURATION_MAX) ms = DURATION_MAX;
  /* The answer means that the new deadline is in force. */
  if (!deadline_request(ms)) return send_error(fd, errno, "deadline", NULL);
  struct reply r;
  reply_begin(&r, ANS_OK);
  reply_number(&r, TAG_REMAINING_MS, deadline_remaining_ms());
  return reply_send(fd, &r);
}

static bool serve_shutdown(int fd, struct frame *frame) {
  if (frame->len != 0) return send_protocol_error(fd);
  if (dropped) return send_error(fd, EPERM, "shutdown", NULL);
  /* Answered first: this process ends with PID 1, and the end of its connection then shows that the sandbox is gone. */
  const uint64_t now = DEADLINE_NOW;
  return send_empty(fd, ANS_OK) && write(deadline.write_fd, &now, sizeof now) == (ssize_t)sizeof now;
}

static bool serve_run(int fd, struct frame *frame) {
  if (dropped) return send_error(fd, EPERM, "run", NULL);
  /* A client that has given up was told that nothing was started. */
  if (peer_has_left(fd)) return false;
  run_command(fd, frame);
}

static bool serve_shell_request(int fd, struct frame *frame) {
  if (dropped) return send_error(fd, EPERM, "shell", NULL);
  if (peer_has_left(fd)) return false;
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
    case REQ_LIST:
    case REQ_SCAN:
    case REQ_LISTENERS:
    case REQ_CONNECT: break;
    default: return send_protocol_error(fd);
  }
  if (!become_user()) return send_error(fd, errno, "drop", NULL) && false;
  switch (frame->type) {
    case REQ_STAT: return serve_stat(fd, frame);
    case REQ_MKDIR: return serve_mkdir(fd, frame);
    case REQ_READ: return serve_read(fd, frame);
    case REQ_WRITE: return serve_write(fd, frame);
    case REQ_TREE_READ: return serve_tree_read(fd, frame);
    case REQ_TREE_WRITE: return serve_tree_write(fd, frame);
    case REQ_LIST: return serve_list(fd, frame);
    case REQ_SCAN: return serve_scan(fd, frame);
    case REQ_LISTENERS: return serve_listeners(fd, frame, egress.tcp_port);
    default: return serve_connect(fd, frame);
  }
}

_Noreturn void serve_connection(int fd) {
  static struct frame frame;
  for (;;) {
    /* No time limit: on a busy machine a peer may take long, and the kernel closes the connection of one that died. */
    enum frame_result got = frame_read(fd, &frame);
    if (got == FRAME_INVALID) send_protocol_error(fd);
    if (got != FRAME_OK || !serve_frame(fd, &frame)) break;
  }
  /* Closing with unread input resets the connection, and the peer may lose an answer that it has not read yet. */
  struct timeval idle = {.tv_sec = LINGER_IDLE_S};
  if (shutdown(fd, SHUT_WR) == 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle) == 0) {
    static uint8_t rest[DATA_MAX];
    while (recv(fd, rest, sizeof rest, 0) > 0) continue;
  }
  _exit(0);
}
