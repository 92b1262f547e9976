/* Room command: RUN, and the supervisor that stays with a command until all its processes are gone. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process/process.h"
#include "wire/wire.h"

#define ID_MAX 128

/* run-request.c */
struct command {
  char *id;
  struct program program;
  uint64_t timeout_ms, grace_ms;
};
bool command_read(struct frame *frame, struct command *command);
const char *invalid_command_field(const struct command *command); /* its name, or NULL */

/* run.c: turns this process into the command's supervisor */
_Noreturn void run_command(int fd, struct frame *frame);

/* claim.c: the command's directory, which can be created once */
int claim_command(const char *id, const char **what);
void unclaim_command(int dir_fd, const char *id);

/* output-log.c */
struct output_log {
  int dir_fd, fd;
  uint32_t next_index, size;
  uint64_t total[2], lines[2]; /* bytes and newlines written to each stream, including what is no longer kept */
  int64_t retry_at;
};
bool output_log_open(struct output_log *log, int dir_fd);
size_t output_log_room(const struct output_log *log);
void output_log_append(struct output_log *log, int stream, const void *data, size_t len);

/* output-pump.c */
struct output_pump {
  int fd[2];
  bool widened[2];
};
void output_pump_read(struct output_pump *p, struct output_log *log, int stream);
void output_pump_drain(struct output_pump *p, struct output_log *log);

/* supervisor.c */
struct exit_status {
  int cause, cause_signal;
  int64_t cause_until;
  int exit_code, signal, recorded_cause;
  int64_t duration_ms;
  uint64_t stdout_bytes, stderr_bytes;
};
struct supervisor {
  const struct command *command;
  struct reaper reaper;
  int dir_fd, listen_fd, report_fd, exit_fd;
  bool started, finished, exit_saved;
  int64_t started_mono, timeout_at, escalate_at;
  struct exit_status exit_status;
  struct output_log log;
  struct output_pump pump;
  uint64_t announced;
  int64_t announced_at, save_again_at;
  bool killing, closing;
  int64_t next_round, round_wait, killing_since;
  int64_t linger_until;
};
_Noreturn void supervise(struct supervisor *s, int first_client);

/* start-kill.c */
void start_kill(struct supervisor *s);

/* exit-status.c */
void request_termination(struct supervisor *s, int cause, int sig);
bool exit_file_reserve(struct supervisor *s);
void exit_status_finish(struct supervisor *s);
bool exit_file_save(struct supervisor *s);
void exit_status_reply(const struct supervisor *s, struct reply *r);

/* supervisor-clients.c */
#define CLIENTS_MAX 64
struct pollfd;
bool clients_start(int first);
size_t clients_poll(struct pollfd *out);
void clients_serve(struct supervisor *s, const struct pollfd *polled, size_t count);
void clients_accept(struct supervisor *s);
void clients_notify_started(void);
void clients_notify_output(void);
void clients_notify_exit(void);
void clients_answer_kills(unsigned signalled);
bool clients_flush(const struct supervisor *s); /* true when nothing is left to send */

#endif
