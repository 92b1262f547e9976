/* RUN: claims the command's directory and turns this process into its supervisor. */
#include "command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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
  if (!reaper_open(&s->reaper, what)) return false;
  *what = "socket";
  s->listen_fd = listen_at(s->dir_fd, "socket");
  if (s->listen_fd < 0) return false;
  *what = "log";
  if (!output_log_open(&s->log, s->dir_fd)) return false;
  *what = "exit";
  return exit_file_reserve(s);
}

static bool start(struct supervisor *s, const char **what) {
  int out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1};
  *what = "pipe";
  if (!open_pipes(s, out, err, report)) return false;
  s->started_mono = now_ms();
  *what = "fork";
  s->reaper.first = fork();
  if (s->reaper.first == 0) exec_child(&s->command->program, -1, out[1], err[1], report[1]);
  if (s->reaper.first < 0) return false;
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
    send_protocol_error(fd);
    _exit(0);
  }
  const char *what = invalid_command_field(&command);
  if (what == NULL) {
    s.command = &command;
    s.listen_fd = s.reaper.signal_fd = s.report_fd = s.exit_fd = s.pump.fd[0] = s.pump.fd[1] = s.log.fd = -1;
    s.dir_fd = claim_command(command.id, &what);
    if (s.dir_fd >= 0) {
      if (prepare(&s, &what) && start(&s, &what)) {
        supervise(&s, fd);
      }
      int error = errno;
      unclaim_command(s.dir_fd, command.id);
      errno = error;
    }
  } else {
    errno = EINVAL;
  }
  send_error(fd, errno, what, NULL);
  /* This process is half a supervisor by now, so it serves no further request. */
  _exit(0);
}
