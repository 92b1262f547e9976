/* RUN: claims the command's directory and turns this process into its supervisor. */
#include "agent.h"

#include <stdio.h>
#include <string.h>

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
  if (!reaper_open(&s->reaper, what)) return false;
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
  s->reaper.first = fork();
  if (s->reaper.first == 0) launch(s->command, -1, out[1], err[1], report[1]);
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
    garbage(fd);
    _exit(0);
  }
  const char *what = command_problem(&command);
  if (what == NULL) {
    s.command = &command;
    s.listen_fd = s.reaper.signal_fd = s.report_fd = s.exit_fd = s.pump.fd[0] = s.pump.fd[1] = s.capture.fd = -1;
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
