/* Feeds mutated frames to the agent's request code through socketpairs. Built with sanitizers, it dies at the first report. Deterministic: the same seed generates the same frames.
   usage: driver EMPTY_DIRECTORY SEED LEAST_ITERATIONS SECONDS */
#include "frames.h"
#include "stand-ins.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

static struct deadline_page page;

static void parse_run(struct frame *frame) {
  struct command c;
  if (command_read(frame, &c)) {
    if (invalid_command_field(&c) == NULL) commands++;
    size_t bytes = strlen(c.id) + strlen(c.program.cwd);
    for (size_t i = 0; i < c.program.argv.count; i++) bytes += strlen(c.program.argv.items[i]);
    for (size_t i = 0; i < c.program.env.count; i++) bytes += strlen(c.program.env.items[i]);
    if (c.program.argv.items[c.program.argv.count] != NULL || c.program.env.items[c.program.env.count] != NULL)
      die("an unterminated array");
    if (bytes > frame->len) die("a RUN longer than its frame");
  }
  free(c.program.argv.items);
  free(c.program.env.items);
}

static bool open_pair(const struct stream *s, int pair[2]) {
  struct timeval soon = {.tv_usec = 20000};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return false;
  if (setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) != 0) return false;
  if (send(pair[0], s->bytes, s->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && s->len > 0) return false;
  return shutdown(pair[0], SHUT_WR) == 0;
}

static void feed_connection(const struct stream *s, bool is_run) {
  static struct frame frame;
  int pair[2];
  if (!open_pair(s, pair)) die("socketpair");
  for (int i = 0; i < 16; i++) {
    enum frame_result got = frame_read(pair[1], &frame);
    if (got == FRAME_INVALID) send_protocol_error(pair[1]);
    if (got != FRAME_OK) break;
    /* Exactly as long as its content, so that reading one byte too far is detected. */
    frame.body = realloc(frame.body, frame.len + (frame.len == 0));
    frame.capacity = frame.len + (frame.len == 0);
    if (frame.body == NULL) die("realloc");
    if (is_run && frame.type == REQ_RUN) {
      parse_run(&frame);
    } else if (!serve_frame(pair[1], &frame)) {
      break;
    }
  }
  close(pair[0]);
  close(pair[1]);
}

static void feed_command(const struct stream *s) {
  static const struct command command = {.grace_ms = 10};
  struct supervisor supervisor = {.command = &command, .started = true, .exit_saved = random_below(2) == 0};
  struct pollfd polled[CLIENTS_MAX];
  int pair[2];
  if (!open_pair(s, pair) || !clients_start(pair[1])) die("socketpair");
  for (int i = 0; i < 64; i++) {
    size_t count = clients_poll(polled);
    if (count == 0) break;
    for (size_t k = 0; k < count; k++) polled[k].revents = POLLIN;
    clients_serve(&supervisor, polled, count);
    if (random_below(2)) clients_notify_output();
    if (supervisor.killing) clients_answer_kills(1);
    clients_flush(&supervisor);
  }
  close(pair[0]);
  if (clients_poll(polled) != 0) die("a client that was not removed");
}

static void feed_terminal(const struct stream *s) {
  int pair[2];
  if (!open_pair(s, pair)) die("socketpair");
  feed_shell(pair[1]);
  close(pair[0]);
  close(pair[1]);
}

static void fresh_files(void) {
  remove_tree(AT_FDCWD, "/w", 0);
  if (mkdir("/w", 0755) != 0 || mkdir("/w/dir", 0755) != 0 || mkfifo("/w/fifo", 0644) != 0) die("files");
  if (symlink("dir/target", "/w/link") != 0 || symlink("loop", "/w/loop") != 0) die("links");
  /* Longer than a piece of a line. */
  static char line[40000];
  memset(line, 'o', sizeof line);
  int wide = open("/w/long", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (wide < 0 || !write_all(wide, line, sizeof line)) die("long");
  close(wide);
  int fd = open("/w/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || !write_all(fd, "some content\n", 13)) die("file");
  close(fd);
}

int main(int argc, char **argv) {
  if (argc != 5) return 64;
  seed_random(strtoull(argv[2], NULL, 10));
  unsigned long least = strtoul(argv[3], NULL, 10), done = 0;
  int64_t until = now_ms() + atoi(argv[4]) * 1000;
  static struct stream stream;
  deadline.page = &page;
  confine(argv[1]);
  if (!become_user()) die("become_user");
  /* A fast machine runs more iterations in the given time; a slow one takes as long as the minimum needs. */
  for (; done < least || now_ms() < until; done++) {
    if (done % 200 == 0) fresh_files();
    stream.len = 0;
    uint32_t kind = random_below(8);
    if (kind == 0) {
      run_frame(&stream);
    } else if (kind == 1) {
      command_frames(&stream);
    } else if (kind == 2) {
      shell_frames(&stream);
    } else {
      request_frames(&stream);
      if (random_below(3) == 0) request_frames(&stream);
    }
    if (random_below(5) != 0) mutate(&stream);
    if (kind == 1) {
      feed_command(&stream);
    } else if (kind == 2) {
      feed_terminal(&stream);
    } else {
      feed_connection(&stream, kind == 0);
    }
  }
  printf("%lu %u %u %u\n", done, commands, kills, sizes);
  return 0;
}
