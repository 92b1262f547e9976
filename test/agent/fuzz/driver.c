/* Feeds mutated frames to the agent's request code through socketpairs. Built with sanitizers, it dies at the first report. Deterministic: the same seed generates the same frames.
   usage: driver EMPTY_DIRECTORY SEED LEAST_ITERATIONS SECONDS */
#include "stand-ins.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define STREAM_MAX 65536

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

static uint64_t state;

static uint32_t random_below(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16) % limit;
}

struct stream {
  size_t len;
  uint8_t bytes[STREAM_MAX];
};

static void put(struct stream *s, const void *data, size_t len) {
  if (len > STREAM_MAX - s->len) len = STREAM_MAX - s->len;
  memcpy(s->bytes + s->len, data, len);
  s->len += len;
}

static size_t frame_start(struct stream *s, uint8_t type) {
  uint8_t header[FRAME_HEADER] = {0, 0, 0, 0, type};
  size_t at = s->len;
  put(s, header, sizeof header);
  return at;
}

static void frame_finish(struct stream *s, size_t at) {
  if (s->len >= at + FRAME_HEADER) store_u32(s->bytes + at, (uint32_t)(s->len - at - FRAME_HEADER));
}

static void field(struct stream *s, uint8_t tag, const void *data, size_t len) {
  uint8_t header[5] = {tag};
  store_u32(header + 1, (uint32_t)len);
  put(s, header, sizeof header);
  put(s, data, len);
}

static void text(struct stream *s, uint8_t tag, const char *value) { field(s, tag, value, strlen(value)); }

static void number(struct stream *s, uint8_t tag, uint64_t value) {
  uint8_t bytes[8];
  store_u64(bytes, value);
  field(s, tag, bytes, sizeof bytes);
}

static const char *some_path(void) {
  static const char *const paths[] = {"/w/file",  "/w/dir",         "/w",       "/",
                                      "/w/link",  "/w/loop",        "/w/fifo",  "/w/dir/deep/er",
                                      "/w/none",  "/w/none/at/all", "relative", "/w/dir/../file",
                                      "/w/file/", "//w//dir"};
  return paths[random_below(sizeof paths / sizeof paths[0])];
}

static void data_frames(struct stream *s) {
  for (uint32_t n = random_below(4); n > 0; n--) {
    size_t at = frame_start(s, ANS_DATA);
    uint8_t bytes[600];
    memset(bytes, (int)random_below(256), sizeof bytes);
    put(s, bytes, random_below(sizeof bytes));
    frame_finish(s, at);
  }
}

static void entry_frame(struct stream *s, const char *path) {
  static const char *const kinds[] = {"f", "d", "d", "d", "l", "o", ""};
  const char *kind = path[0] == 0 ? "d" : kinds[random_below(7)];
  size_t at = frame_start(s, ANS_ENTRY);
  text(s, TAG_ENTRY_PATH, path);
  text(s, TAG_KIND, kind);
  number(s, TAG_MODE, random_below(4) == 0 ? random_below(01000) : 0755);
  if (kind[0] == 'l') text(s, TAG_LINK, some_path());
  frame_finish(s, at);
  if (kind[0] == 'f') data_frames(s);
}

static void tree_frames(struct stream *s) {
  static const char *const names[] = {"a",   "b",    "a/c", "a/c/d", "..",     "a/../..",
                                      "b/c", "file", "dir", "dir/x", "link/x", "/x"};
  entry_frame(s, "");
  for (uint32_t n = random_below(8); n > 0; n--) entry_frame(s, names[random_below(12)]);
}

static void list_fields(struct stream *s) {
  for (uint32_t n = random_below(3) + 1; n > 0; n--) text(s, TAG_PATHS, some_path());
  if (random_below(2)) text(s, TAG_AFTER, random_below(2) ? "dir" : "");
  number(s, TAG_LIMIT, random_below(4));
  number(s, TAG_DETAILS, random_below(2));
}

static void scan_fields(struct stream *s) {
  static const char *const names[] = {"file", "dir", "fifo", "none", "../w/file", "link", "long"};
  static const char *const literals[] = {"content", "o", "SOME", "nowhere", ""};
  text(s, TAG_PATH, random_below(4) ? "/w" : some_path());
  for (uint32_t n = random_below(4); n > 0; n--) text(s, TAG_PATHS, names[random_below(7)]);
  for (uint32_t n = random_below(20) / 4; n > 0; n--) text(s, TAG_LITERALS, literals[random_below(5)]);
  number(s, TAG_FOLD, random_below(2));
}

static void request_frames(struct stream *s) {
  static const uint8_t types[] = {REQ_PING,  REQ_DEADLINE,  REQ_STAT,       REQ_MKDIR,      REQ_READ,       REQ_WRITE,
                                  REQ_WRITE, REQ_TREE_READ, REQ_TREE_WRITE, REQ_TREE_WRITE, REQ_TREE_WRITE, REQ_CONNECT,
                                  REQ_LIST,  REQ_SCAN,      REQ_SCAN,       REQ_LISTENERS};
  uint8_t type = types[random_below(sizeof types)];
  size_t at = frame_start(s, type);
  if (type == REQ_DEADLINE) number(s, TAG_MS, random_below(100000));
  if (type == REQ_CONNECT) number(s, TAG_PORT, random_below(70000));
  if (type >= REQ_STAT && type < REQ_CONNECT) text(s, TAG_PATH, some_path());
  if (type == REQ_LIST) list_fields(s);
  if (type == REQ_SCAN) scan_fields(s);
  if (type == REQ_READ && random_below(2)) number(s, TAG_OFFSET, random_below(5000));
  if (type == REQ_READ && random_below(2)) number(s, TAG_LIMIT, random_below(5000));
  if (type == REQ_WRITE && random_below(2)) number(s, TAG_WRITE_MODE, random_below(010000));
  frame_finish(s, at);
  if (type == REQ_WRITE) data_frames(s);
  if (type == REQ_TREE_WRITE) tree_frames(s);
  if ((type == REQ_WRITE || type == REQ_TREE_WRITE) && random_below(8) != 0) frame_finish(s, frame_start(s, ANS_END));
}

static void run_frame(struct stream *s) {
  size_t at = frame_start(s, REQ_RUN);
  text(s, TAG_ID, "cmd-1");
  for (uint32_t n = random_below(4) + 1; n > 0; n--) text(s, TAG_ARGV, "word");
  for (uint32_t n = random_below(4); n > 0; n--) text(s, TAG_ENV, "NAME=value");
  text(s, TAG_CWD, "/w");
  number(s, TAG_SUDO, random_below(2));
  number(s, TAG_TIMEOUT_MS, random_below(1000));
  frame_finish(s, at);
}

static void command_frames(struct stream *s) {
  for (uint32_t n = random_below(4) + 1; n > 0; n--) {
    size_t at = frame_start(s, random_below(2) ? REQ_KILL : REQ_ATTACH);
    if (s->bytes[at + 4] == REQ_KILL) {
      number(s, TAG_SIGNAL, random_below(66));
      number(s, TAG_CAUSE, random_below(5));
    }
    frame_finish(s, at);
  }
}

static void shell_frames(struct stream *s) {
  for (uint32_t n = random_below(4) + 1; n > 0; n--) {
    data_frames(s);
    size_t at = frame_start(s, REQ_RESIZE);
    number(s, TAG_COLS, random_below(70000));
    number(s, TAG_ROWS, random_below(70000));
    frame_finish(s, at);
  }
}

static void mutate(struct stream *s) {
  static const uint32_t lengths[] = {0, 1, 4, 5, 7, 8, 9, 0x7fffffff, 0x80000000, 0xffffffff, BODY_MAX, BODY_MAX + 1};
  for (uint32_t n = random_below(5); n > 0 && s->len > 0; n--) {
    size_t at = random_below((uint32_t)s->len), len = random_below(24) + 1;
    if (len > s->len - at) len = s->len - at;
    switch (random_below(6)) {
      case 0: s->bytes[at] ^= (uint8_t)(1u << random_below(8)); break;
      case 1: s->bytes[at] = (uint8_t)random_below(256); break;
      case 2:
        if (s->len - at >= 4) store_u32(s->bytes + at, lengths[random_below(12)]);
        break;
      case 3: /* cut out */
        memmove(s->bytes + at, s->bytes + at + len, s->len - at - len);
        s->len -= len;
        break;
      case 4: /* repeat */
        if (s->len + len > STREAM_MAX) break;
        memmove(s->bytes + at + len, s->bytes + at, s->len - at);
        s->len += len;
        break;
      default: s->len -= random_below(8) == 0 ? s->len - at : 0;
    }
  }
  /* Usually the first frame stays intact, so that its content is parsed. */
  if (s->len >= FRAME_HEADER && random_below(3) == 0) store_u32(s->bytes, (uint32_t)(s->len - FRAME_HEADER));
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
  state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
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
