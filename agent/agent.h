/* What the parts of the agent share. The contract with the engine is docs/agent-protocol.md. */
#ifndef AGENT_H
#define AGENT_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "process/reap.h"

#define PROTOCOL 1
#define BODY_MAX 2097152u
#define DATA_MAX 65536u
#define FRAME_HEADER 5u
#define LINK_HOPS 40
#define ID_MAX 128
#define DURATION_MAX ((uint64_t)1 << 40)
#define DEADLINE_NOW UINT64_MAX /* in the deadline pipe: end at once, since somebody outside asked for it */

enum {
  REQ_PING = 1, REQ_DEADLINE, REQ_RUN, REQ_STAT, REQ_MKDIR, REQ_READ, REQ_WRITE, REQ_TREE_READ, REQ_TREE_WRITE,
  REQ_CONNECT, REQ_SHUTDOWN, REQ_SHELL,
  REQ_ATTACH = 20, REQ_KILL, REQ_RESIZE,
  ANS_OK = 64, ANS_ERROR, ANS_STARTED, ANS_OUTPUT, ANS_EXIT, ANS_STAT, ANS_ENTRY, ANS_DATA, ANS_END
};

enum {
  TAG_MS = 1, TAG_ID, TAG_ARGV, TAG_ENV, TAG_CWD, TAG_SUDO, TAG_TIMEOUT_MS, TAG_GRACE_MS, TAG_NPROC, TAG_PATH,
  TAG_OFFSET, TAG_LIMIT, TAG_MODE_WANTED, TAG_PORT, TAG_SIGNAL, TAG_CAUSE,
  TAG_COLS, TAG_ROWS,
  TAG_PROTOCOL = 40, TAG_REMAINING_MS, TAG_FILES, TAG_BYTES, TAG_SIGNALLED, TAG_EGRESS,
  TAG_ERRNO = 50, TAG_WHAT, TAG_ERROR_PATH, TAG_STARTED_AT, TAG_STDOUT_SO_FAR, TAG_STDERR_SO_FAR, TAG_KIND, TAG_SIZE,
  TAG_MODE, TAG_MTIME_MS, TAG_ENTRY_PATH, TAG_LINK,
  TAG_EXIT_CODE = 70, TAG_EXIT_SIGNAL, TAG_EXIT_CAUSE, TAG_ENDED_AT, TAG_DURATION_MS, TAG_STDOUT_BYTES,
  TAG_STDERR_BYTES
};

enum { CAUSE_EXIT, CAUSE_KILLED, CAUSE_CANCELLED, CAUSE_SESSION_END, CAUSE_TIMEOUT };

/* PID 1 writes it, its children only read it: how they learn of a deadline that moved after they were forked. */
struct deadline_page {
  int64_t at_ms; /* CLOCK_BOOTTIME */
  uint64_t changes;
};

struct agent {
  int dir_fd;      /* the agent directory on the host */
  int proc_fd;     /* /proc as it was before any user code ran */
  int deadline_fd; /* write end of the pipe that PID 1 reads new deadlines from */
  uid_t uid;
  gid_t gid;
  bool egress; /* connections out are handed to the gateway */
  struct deadline_page *deadline;
};
extern struct agent agent;

/* clock.c */
int64_t clock_ms(clockid_t clock);
#define now_ms() clock_ms(CLOCK_MONOTONIC)

/* frame.c: blocking frames of a connection child */
enum got { GOT_FRAME, GOT_CLOSED, GOT_GARBAGE };
struct frame {
  uint8_t type;
  uint32_t len;
  uint32_t room;
  uint8_t *body;
};
uint32_t frame_limit(uint8_t type); /* the longest body of a type, UINT32_MAX for a type that is not received */
uint32_t load_u32(const uint8_t *p);
uint64_t load_u64(const uint8_t *p);
void store_u32(uint8_t *p, uint32_t v);
void store_u64(uint8_t *p, uint64_t v);
enum got frame_read(int fd, struct frame *frame);
bool send_all(int fd, const void *data, size_t len);
bool write_all(int fd, const void *data, size_t len);

/* reply.c */
#define REPLY_MAX 8448u
struct reply {
  size_t len;
  uint8_t bytes[REPLY_MAX];
};
void reply_begin(struct reply *r, uint8_t type);
void reply_number(struct reply *r, uint8_t tag, uint64_t value);
void reply_bytes(struct reply *r, uint8_t tag, const void *data, size_t len);
void reply_text(struct reply *r, uint8_t tag, const char *text);
void reply_end(struct reply *r);
bool reply_send(int fd, struct reply *r); /* ends it, then sends it */
void reply_error(struct reply *r, int error, const char *what, const char *path);
bool send_error(int fd, int error, const char *what, const char *path);
bool send_empty(int fd, uint8_t type);

/* fields.c */
enum field_kind { FIELD_NUMBER, FIELD_TEXT, FIELD_TEXTS };
struct texts {
  char **items; /* ends with NULL */
  size_t count;
};
struct field {
  uint8_t tag;
  enum field_kind kind;
  bool required;
  void *out; /* uint64_t *, char **, struct texts * */
};
bool fields_read(uint8_t *body, size_t len, const struct field *wanted, size_t count);

/* init.c, layout.c, accept.c */
int init_main(int argc, char **argv);
bool make_layout(uid_t uid, gid_t gid, const char **failed);
_Noreturn void accept_loop(int listen_fd, int deadline_pipe, int64_t deadline_at);
int listen_at(int dir_fd); /* the socket `socket` in that directory; leaves the working directory at / */
bool peer_is_outside(int fd);

/* serve.c */
_Noreturn void serve_connection(int fd);
bool serve_frame(int fd, struct frame *frame); /* false: the connection is over */
bool become_user(void);

/* drop.c */
bool drop_privileges(uid_t uid, gid_t gid, bool keep_capabilities, const char **failed);

/* run.c, launch.c */
struct command {
  char *id;
  struct texts argv, env;
  char *cwd;
  uint64_t sudo, timeout_ms, grace_ms, nproc;
};
bool command_read(struct frame *frame, struct command *command);
bool shell_read(struct frame *frame, struct command *command, uint64_t *cols, uint64_t *rows);
const char *command_problem(const struct command *command); /* the field that is wrong, or NULL */
const char *program_problem(const struct command *command); /* the same, the id left out */
_Noreturn void run_command(int fd, struct frame *frame);
void command_unclaim(int dir_fd, const char *id);
enum launch_step { STEP_NONE, STEP_STDIN, STEP_OUTPUT, STEP_LIMITS, STEP_DROP, STEP_CWD, STEP_TERMINAL, STEP_COUNT };
struct launch_report {
  int32_t error;
  uint32_t step;
};
void launch_send_error(int client, const struct launch_report *report, const struct command *command);
/* `tty_fd`: the standard input that becomes the controlling terminal, or -1 for none. */
_Noreturn void launch(const struct command *command, int tty_fd, int out_fd, int err_fd, int report_fd);

/* shell.c, shell-frames.c, terminal.c */
struct shell {
  struct reaper reaper;
  int client, master, slave, report_fd;
  bool started, told_exit;
  bool over; /* the client is gone, or has sent garbage */
  int64_t started_at;
  size_t drained; /* read from the terminal after the program had ended */
  size_t in_len;
  size_t typed_at, typed_end; /* what of `in` is on its way to the terminal */
  size_t out_len, out_sent;
  uint8_t in[FRAME_HEADER + DATA_MAX];
  uint8_t out[FRAME_HEADER + DATA_MAX];
};
_Noreturn void serve_shell(int fd, struct frame *frame);
void shell_receive(struct shell *s);
void shell_type(struct shell *s); /* as far as the terminal takes it */
void shell_send(struct shell *s);
bool terminal_open(struct shell *s, uint16_t cols, uint16_t rows, uid_t uid, gid_t gid);
bool terminal_resize(int fd, uint16_t cols, uint16_t rows);

/* capture.c */
struct capture {
  int dir_fd, fd;
  uint32_t next_index, size;
  uint64_t total[2], lines[2]; /* bytes and line ends of each stream, those that are not kept included */
  int64_t retry_at;
};
bool capture_open(struct capture *c, int dir_fd);
size_t capture_room(const struct capture *c);
void capture_append(struct capture *c, int stream, const void *data, size_t len);

/* pump.c */
struct pump {
  int fd[2];
  bool widened[2];
};
void pump_ready(struct pump *p, struct capture *c, int stream);
void pump_rest(struct pump *p, struct capture *c);

/* tree-kill.c: `root` itself and the children that `spared` names are left alone */
typedef bool (*spare_fn)(pid_t pid);
unsigned tree_signal(pid_t root, spare_fn spared, int sig);
unsigned tree_kill_round(pid_t root, spare_fn spared);
void tree_kill_begin(void);
size_t tree_killed(void); /* how many processes the rounds since then have killed */

/* supervise.c, outcome.c, clients.c */
struct outcome {
  int cause, cause_signal;
  int64_t cause_until;
  int exit_code, signal, recorded_cause;
  int64_t ended_at, duration_ms;
  uint64_t stdout_bytes, stderr_bytes;
};
struct supervisor {
  const struct command *command;
  struct reaper reaper;
  int dir_fd, listen_fd, report_fd, exit_fd;
  bool started, finished, exit_saved;
  int64_t started_at, started_mono, timeout_at, escalate_at;
  struct outcome outcome;
  struct capture capture;
  struct pump pump;
  uint64_t announced;
  int64_t announced_at, save_again_at;
  bool killing, closing;
  int64_t next_round, round_wait, killing_since;
  int64_t linger_until;
};
_Noreturn void supervise(struct supervisor *s, int first_client);
void start_killing(struct supervisor *s);
void outcome_ask(struct supervisor *s, int cause, int sig);
bool outcome_prepare(struct supervisor *s);
void outcome_finish(struct supervisor *s);
bool outcome_save(struct supervisor *s);
void outcome_reply(const struct supervisor *s, struct reply *r);

#define CLIENTS_MAX 64
struct pollfd;
bool clients_start(int first);
size_t clients_poll(struct pollfd *out);
void clients_serve(struct supervisor *s, const struct pollfd *polled, size_t count);
void clients_accept(struct supervisor *s);
void clients_started(void);
void clients_grew(void);
void clients_finished(void);
void clients_killed(unsigned signalled);
bool clients_flush(const struct supervisor *s); /* true when nothing waits to be sent */

/* path.c, files.c, file-write.c */
bool path_is_absolute(const char *path);
int make_parents(const char *path); /* 0 or an errno */
int make_directories(const char *path);
int follow_links(const char *path, char *out, size_t room, struct stat *st); /* st_mode 0: nothing is there */
void temporary_beside(const char *path, char *out, size_t room);
char kind_of(mode_t mode);
int open_regular(int dir_fd, const char *name, int extra_flags, struct stat *st, const char **what);
void widen_sending(int fd);
bool send_file(int fd, int file, uint64_t limit, int *error);
bool serve_stat(int fd, struct frame *frame);
bool serve_mkdir(int fd, struct frame *frame);
bool serve_read(int fd, struct frame *frame);
bool serve_write(int fd, struct frame *frame);
bool discard_upload(int fd, struct frame *frame);
bool garbage(int fd);

/* tree-read.c, tree-write.c, tree-stage.c, tree-place.c, relay.c */
#define DEPTH_MAX 200
bool serve_tree_read(int fd, struct frame *frame);
bool serve_tree_write(int fd, struct frame *frame);
struct entry {
  const char *path; /* relative, checked */
  char kind;
  mode_t mode;
  const char *link;
};
struct stage {
  char place[4096], path[4096]; /* where the tree goes, and the directory that holds it until then */
  int dir_fd;
  char root_kind; /* 0 until the root has come */
  mode_t place_mode;
  int parent_fd; /* of the last entry, since most entries share it */
  char parent_path[4096];
  int file; /* the file that DATA goes to, or -1 */
  mode_t file_mode;
  char closed[65536]; /* directories that their owner may not write to: only closed when all is in place */
  size_t closed_len;
  uint64_t files, bytes;
  const char *what;
};
int stage_open(struct stage *s, const char *path);
int stage_entry(struct stage *s, const struct entry *entry);
int stage_data(struct stage *s, const uint8_t *data, size_t len);
int stage_end_file(struct stage *s);
void stage_drop(struct stage *s);
int tree_place(struct stage *s);
void tree_remove(int dir_fd, const char *name, int depth);
bool serve_connect(int fd, struct frame *frame);

#endif
