/* Room shell: SHELL, a program on a pseudo-terminal, or with pipes, that lives as long as its connection. */
#ifndef SHELL_H
#define SHELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "process/process.h"
#include "wire/wire.h"

struct shell {
  struct reaper reaper;
  int client, ptm, tty, report_fd; /* `ptm` and `tty`: the two ends of the pseudo-terminal or pipe */
  bool started, exit_sent;
  bool closed;    /* the client has gone, or has broken the protocol */
  size_t drained; /* bytes read from the terminal after the program had ended */
  size_t in_len;
  size_t typed_at, typed_end; /* the part of `in` that is being written to the terminal */
  size_t out_len, out_sent;
  uint8_t in[FRAME_HEADER + DATA_MAX];
  uint8_t out[FRAME_HEADER + DATA_MAX];
};

/* shell-request.c */
struct shell_request {
  struct program program;
  uint64_t cols, rows;
};
bool shell_read(struct frame *frame, struct shell_request *request);
const char *invalid_shell_field(const struct shell_request *request); /* its name, or NULL */

/* shell.c */
_Noreturn void serve_shell(int fd, struct frame *frame);

/* shell-frames.c */
void shell_receive(struct shell *s);
void shell_type(struct shell *s); /* writes typed bytes until the terminal takes no more */
void shell_send(struct shell *s);

/* pty.c */
bool pty_open(struct shell *s, uint16_t cols, uint16_t rows, uid_t uid, gid_t gid);
bool pty_resize(int fd, uint16_t cols, uint16_t rows);

#endif
