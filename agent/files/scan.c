/*
 * SCAN: the lines of files that contain one of several literals, for a search whose pattern is matched outside: only lines
 * that can match leave the sandbox. Without literals that is every line.
 */
#include "files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW 1048576u
#define FILE_BYTES_MAX (256u * 1048576u)
#define LITERALS_MAX 16u
#define BINARY_PROBE 8000u
/* A longer line is sent in pieces of this size, each from a little before a literal. */
#define PIECE_MAX 16384u
#define PIECE_LEAD 4096u
#define LARGE_FILE 1048576
#define CHECK_PEER_EVERY 64u

struct literal {
  const char *bytes;
  size_t len;
  const uint8_t *next; /* its next occurrence at or after the position; NULL: none in this window */
};

struct scan {
  struct record_stream out;
  struct literal literals[LITERALS_MAX];
  size_t literal_count;
  bool fold;
  /* Of the current file. */
  uint32_t file;
  uint32_t line;          /* of `counted` */
  uint64_t window_offset; /* of the window's start */
  const uint8_t *counted;
};

static uint8_t window[WINDOW], folded[WINDOW];

static void fold_ascii(uint8_t *to, const uint8_t *from, size_t len) {
  for (size_t i = 0; i < len; i++) {
    uint8_t c = from[i];
    to[i] = (uint8_t)(c + (c >= 'A' && c <= 'Z' ? 32 : 0));
  }
}

/* The first position from `at` on where a literal starts; NULL if none. Positions are those of `window`. */
static const uint8_t *find_literal(struct scan *s, const uint8_t *at, const uint8_t *end) {
  if (s->literal_count == 0) return at < end ? at : NULL;
  const uint8_t *base = s->fold ? folded : window, *first = NULL;
  for (size_t i = 0; i < s->literal_count; i++) {
    struct literal *l = &s->literals[i];
    if (l->next != NULL && l->next < at) {
      const uint8_t *found = memmem(base + (at - window), (size_t)(end - at), l->bytes, l->len);
      l->next = found == NULL ? NULL : window + (found - base);
    }
    if (l->next != NULL && (first == NULL || l->next < first)) first = l->next;
  }
  return first;
}

static void count_lines(struct scan *s, const uint8_t *to) {
  while (s->counted < to) {
    const uint8_t *newline = memchr(s->counted, '\n', (size_t)(to - s->counted));
    if (newline == NULL) break;
    s->line++;
    s->counted = newline + 1;
  }
}

static void send_line(struct scan *s, const uint8_t *start, const uint8_t *end) {
  stream_u8(&s->out, 'l');
  stream_u32(&s->out, s->file);
  stream_u32(&s->out, s->line);
  stream_u64(&s->out, s->window_offset + (uint64_t)(start - window));
  stream_u32(&s->out, (uint32_t)(end - start));
  stream_bytes(&s->out, start, (size_t)(end - start));
}

/* Lines of `window` up to `end`, which is the end of a line unless a line is longer than the window. */
static void scan_window(struct scan *s, const uint8_t *end) {
  const uint8_t *at = window, *hit;
  if (s->fold) fold_ascii(folded, window, (size_t)(end - window));
  for (size_t i = 0; i < s->literal_count; i++) {
    const uint8_t *base = s->fold ? folded : window;
    const uint8_t *found = memmem(base, (size_t)(end - window), s->literals[i].bytes, s->literals[i].len);
    s->literals[i].next = found == NULL ? NULL : window + (found - base);
  }
  while (s->out.open && at < end && (hit = find_literal(s, at, end)) != NULL) {
    count_lines(s, hit);
    const uint8_t *start = s->counted > at ? s->counted : at;
    const uint8_t *newline = memchr(hit, '\n', (size_t)(end - hit));
    const uint8_t *stop = newline == NULL ? end : newline;
    if (stop - start <= (ptrdiff_t)PIECE_MAX) {
      send_line(s, start, stop);
      at = newline == NULL ? end : newline + 1;
      continue;
    }
    if (s->literal_count > 0 && hit - start > (ptrdiff_t)PIECE_LEAD) start = hit - PIECE_LEAD;
    if (stop - start > (ptrdiff_t)PIECE_MAX) stop = start + PIECE_MAX;
    send_line(s, start, stop);
    at = stop;
  }
  count_lines(s, end);
}

/* Where complete lines end; a line that fills the window is cut, with an overlap that holds any literal. */
static const uint8_t *end_of_lines(size_t len, bool last) {
  if (last) return window + len;
  const uint8_t *newline = memrchr(window, '\n', len);
  if (newline != NULL) return newline + 1;
  return len == sizeof window ? window + len : window;
}

static void send_mark(struct scan *s, char kind) {
  stream_u8(&s->out, (uint8_t)kind);
  stream_u32(&s->out, s->file);
}

static void scan_file(struct scan *s, int fd, uint64_t size) {
  size_t len = 0;
  uint64_t total = 0;
  s->line = 1;
  s->window_offset = 0;
  s->counted = window;
  for (bool last = false; !last && s->out.open;) {
    ssize_t n = read(fd, window + len, sizeof window - len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      send_mark(s, 'x');
      return;
    }
    if (total == 0 && memchr(window, 0, (size_t)n < BINARY_PROBE ? (size_t)n : BINARY_PROBE) != NULL) {
      send_mark(s, 'b');
      return;
    }
    total += (uint64_t)n;
    len += (size_t)n;
    /* The size spares most files a second read; files in /proc report a size of 0. */
    last = n == 0 || (size > 0 && total >= size);
    if (!last && total >= FILE_BYTES_MAX) {
      send_mark(s, 't');
      last = true;
    }
    const uint8_t *end = end_of_lines(len, last);
    if (end == window) continue;
    scan_window(s, end);
    size_t used = (size_t)(end - window);
    if (used == sizeof window && window[used - 1] != '\n') used -= PIECE_LEAD;
    len -= used;
    memmove(window, window + used, len);
    s->window_offset += used;
    s->counted = window;
  }
}

static void scan_path(struct scan *s, int root, const char *path) {
  struct stat st;
  int fd = openat(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    /* A file that has gone since it was listed is as if it had never existed. */
    if (errno != ENOENT && errno != ELOOP && errno != ENOTDIR) send_mark(s, 'x');
    return;
  }
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
    scan_file(s, fd, st.st_size > 0 ? (uint64_t)st.st_size : 0);
    if (st.st_size >= LARGE_FILE) send_mark(s, 'e');
  }
  close(fd);
}

static bool set_literals(struct scan *s, const struct string_list *literals, bool fold) {
  if (literals->count > LITERALS_MAX) return false;
  s->literal_count = literals->count;
  s->fold = fold;
  for (size_t i = 0; i < literals->count; i++) {
    char *bytes = literals->items[i];
    size_t len = strlen(bytes);
    if (len == 0 || len > PIECE_LEAD) return false;
    if (fold) fold_ascii((uint8_t *)bytes, (const uint8_t *)bytes, len);
    s->literals[i] = (struct literal){bytes, len, NULL};
  }
  return true;
}

static bool scan_all(struct scan *s, int fd, const char *path, const struct string_list *names) {
  int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return send_error(fd, errno, "open", path);
  stream_begin(&s->out, fd);
  for (size_t i = 0; i < names->count && s->out.open; i++) {
    /* Without lines to send, only this shows that the client has given up. */
    if (i % CHECK_PEER_EVERY == CHECK_PEER_EVERY - 1 && peer_has_left(fd)) break;
    s->file = (uint32_t)i;
    scan_path(s, root, names->items[i]);
  }
  close(root);
  return stream_flush(&s->out) && send_empty(fd, ANS_END);
}

bool serve_scan(int fd, struct frame *frame) {
  static struct scan s;
  char *path = NULL;
  struct string_list names = {0}, literals = {0};
  uint64_t fold = 0;
  const struct field wanted[] = {{TAG_PATH, FIELD_STRING, true, &path},
                                 {TAG_PATHS, FIELD_STRINGS, false, &names},
                                 {TAG_LITERALS, FIELD_STRINGS, false, &literals},
                                 {TAG_FOLD, FIELD_NUMBER, false, &fold}};
  if (!fields_read(frame->body, frame->len, wanted, 4)) return send_protocol_error(fd);
  bool alive = false;
  if (!path_is_absolute(path)) {
    alive = send_error(fd, EINVAL, "path", path);
  } else if (!set_literals(&s, &literals, fold != 0)) {
    alive = send_error(fd, EINVAL, "literals", path);
  } else {
    alive = scan_all(&s, fd, path, &names);
  }
  free(names.items);
  free(literals.items);
  return alive;
}
