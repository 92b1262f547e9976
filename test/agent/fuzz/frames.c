/* Random streams of frames, as a careless or hostile peer sends them. */
#include "frames.h"

#include <string.h>

#include "stand-ins.h"

static uint64_t state;

void seed_random(uint64_t seed) { state = seed * 0x9e3779b97f4a7c15u + 1; }

uint32_t random_below(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16) % limit;
}

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

void request_frames(struct stream *s) {
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

void run_frame(struct stream *s) {
  size_t at = frame_start(s, REQ_RUN);
  text(s, TAG_ID, "cmd-1");
  for (uint32_t n = random_below(4) + 1; n > 0; n--) text(s, TAG_ARGV, "word");
  for (uint32_t n = random_below(4); n > 0; n--) text(s, TAG_ENV, "NAME=value");
  text(s, TAG_CWD, "/w");
  number(s, TAG_SUDO, random_below(2));
  number(s, TAG_TIMEOUT_MS, random_below(1000));
  frame_finish(s, at);
}

void command_frames(struct stream *s) {
  for (uint32_t n = random_below(4) + 1; n > 0; n--) {
    size_t at = frame_start(s, random_below(2) ? REQ_KILL : REQ_ATTACH);
    if (s->bytes[at + 4] == REQ_KILL) {
      number(s, TAG_SIGNAL, random_below(66));
      number(s, TAG_CAUSE, random_below(5));
    }
    frame_finish(s, at);
  }
}

void shell_frames(struct stream *s) {
  for (uint32_t n = random_below(4) + 1; n > 0; n--) {
    data_frames(s);
    size_t at = frame_start(s, REQ_RESIZE);
    number(s, TAG_COLS, random_below(70000));
    number(s, TAG_ROWS, random_below(70000));
    frame_finish(s, at);
  }
}

void mutate(struct stream *s) {
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
