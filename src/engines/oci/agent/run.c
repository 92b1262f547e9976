/* RUN: reads the request, claims the command's directory and turns this process into its supervisor. */
#include "agent.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

bool command_read(struct frame *frame, struct command *c) {
  memset(c, 0, sizeof *c);
  const struct field wanted[] = {
      {TAG_ID, FIELD_TEXT, true, &c->id},
      {TAG_ARGV, FIELD_TEXTS, true, &c->argv},
      {TAG_ENV, FIELD_TEXTS, false, &c->env},
      {TAG_CWD, FIELD_TEXT, true, &c->cwd},
      {TAG_SUDO, FIELD_NUMBER, false, &c->sudo},
      {TAG_TIMEOUT_MS, FIELD_NUMBER, false, &c->timeout_ms},
      {TAG_GRACE_MS, FIELD_NUMBER, false, &c->grace_ms},
      {TAG_NPROC, FIELD_NUMBER, false, &c->nproc},
  };
  return fields_read(frame->body, frame->len, wanted, sizeof wanted / sizeof wanted[0]);
}

const char *command_problem(const struct command *c) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  size_t len = strlen(c->id);
  /* The id becomes a name on the host: nothing that leads elsewhere may pass. */
  if (len == 0 || len > ID_MAX || c->id[0] == '.' || strspn(c->id, allowed) != len) return "id";
  if (!path_is_absolute(c->cwd)) return "cwd";
  if (c->argv.items[0][0] == 0) return "argv";
  if (c->sudo > 1) return "sudo";
  const uint64_t longest = (uint64_t)1 << 40;
  if (c->timeout_ms > longest || c->grace_ms > longest) return "timeout_ms";
  for (size_t i = 0; i < c->env.count; i++) {
    const char *equals = strchr(c->env.items[i], '=');
    if (equals == NULL || equals == c->env.items[i]) return "env";
  }
  return NULL;
}

static int claim(const char *id, const char **what) {
  *what = "mkdir";
  int all = openat(agent.dir_fd, "c", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (all < 0) return -1;
  int dir_fd = -1;
  if (mkdirat(all, id, 0755) == 0) {
    *what = "open";
    dir_fd = openat(all, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  }
  int error = errno;
  close(all);
  errno = error;
  return dir_fd;
}

/* Gives the id back: only for a command that never came to be. */
void command_unclaim(int dir_fd, const char *id) {
  unlinkat(dir_fd, "socket", 0);
  unlinkat(dir_fd, "exit.new", 0);
  unlinkat(dir_fd, "00000000.log", 0);
  int all = openat(agent.dir_fd, "c", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (all < 0) return;
  unlinkat(all, id, AT_REMOVEDIR);
  close(all);
}

static bool open_pipes(struct supervisor *s, int out[2], int err[2], int report[2]) {
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0 || pipe2(report, O_CLOEXEC) != 0) return false;
  s->pump.fd[0] = out[0];
  s->pump.fd[1] = err[0];
  s->report_fd = report[0];
  const int ours[3] = {out[0], err[0], report[0]};
  for (int i = 0; i < 3; i++) {
    if (fcntl(ours[i], F_SETFL, O_NONBLOCK) != 0) return false;
  }
  return true;
}

static bool prepare(struct supervisor *s, const char **what) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  *what = "subreaper";
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return false;
  *what = "signalfd";
  s->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  if (s->signal_fd < 0) return false;
  *what = "socket";
  s->listen_fd = listen_at(s->dir_fd);
  if (s->listen_fd < 0) return false;
  *what = "log";
  if (!capture_open(&s->capture, s->dir_fd)) return false;
  *what = "exit";
  return outcome_prepare(s);
}

static bool start(struct supervisor *s, const char **what) {
  int out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1};
  *what = "pipe";
  if (!open_pipes(s, out, err, report)) return false;
  s->started_at = clock_ms(CLOCK_REALTIME);
  s->started_mono = now_ms();
  *what = "fork";
  s->first = fork();
  if (s->first == 0) launch(s->command, out[1], err[1], report[1]);
  if (s->first < 0) return false;
  close(out[1]);
  close(err[1]);
  close(report[1]);
  return true;
}

_Noreturn void run_command(int fd, struct frame *frame) {
  static struct command command;
  static struct supervisor s;
  memset(&s, 0, sizeof s);
  if (!command_read(frame, &command)) {
    garbage(fd);
    _exit(0);
  }
  const char *what = command_problem(&command);
  if (what == NULL) {
    s.command = &command;
    s.listen_fd = s.signal_fd = s.report_fd = s.exit_fd = s.pump.fd[0] = s.pump.fd[1] = s.capture.fd = -1;
    s.dir_fd = claim(command.id, &what);
    if (s.dir_fd >= 0) {
      if (prepare(&s, &what) && start(&s, &what)) {
        supervise(&s, fd);
      }
      int error = errno;
      command_unclaim(s.dir_fd, command.id);
      errno = error;
    }
  } else {
    errno = EINVAL;
  }
  send_error(fd, errno, what, NULL);
  /* A child that has tried to become a supervisor holds half of one: it serves nothing else. */
  _exit(0);
}
