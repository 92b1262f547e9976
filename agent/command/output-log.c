/* Writes a command's output to segments of bounded size and number. */
#include "agent.h"

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define SEGMENT_BYTES 1048576u
#define SEGMENT_HEADER 48u
#define RECORD_HEADER 8u
#define SMALLEST_RECORD 4096u
#define KEPT_FIRST 8u
#define KEPT_LAST 24u
#define RETRY_MS 100

static void segment_name(char name[16], uint32_t index) { snprintf(name, 16, "%08u.log", index); }

static bool start_segment(struct capture *c) {
  char name[16];
  uint8_t header[SEGMENT_HEADER] = "SBXLOG2\n";
  store_u32(header + 8, c->next_index);
  store_u32(header + 12, 0);
  store_u64(header + 16, c->total[0]);
  store_u64(header + 24, c->total[1]);
  store_u64(header + 32, c->lines[0]);
  store_u64(header + 40, c->lines[1]);
  segment_name(name, c->next_index);
  int fd = openat(c->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_APPEND, 0644);
  if (fd < 0) return false;
  if (!write_all(fd, header, sizeof header)) {
    close(fd);
    unlinkat(c->dir_fd, name, 0);
    return false;
  }
  if (c->next_index >= KEPT_FIRST + KEPT_LAST) {
    char old[16];
    segment_name(old, c->next_index - KEPT_LAST);
    /* One that cannot be removed costs its megabyte of the host, nothing else. */
    unlinkat(c->dir_fd, old, 0);
  }
  c->fd = fd;
  c->size = SEGMENT_HEADER;
  c->next_index++;
  return true;
}

bool capture_open(struct capture *c, int dir_fd) {
  c->dir_fd = dir_fd;
  c->next_index = 0;
  return start_segment(c);
}

/* The longest record that may follow without making a segment longer than it may be. */
size_t capture_room(const struct capture *c) {
  if (c->fd < 0 || SEGMENT_BYTES - c->size < RECORD_HEADER + SMALLEST_RECORD) return DATA_MAX;
  size_t left = SEGMENT_BYTES - c->size - RECORD_HEADER;
  return left < DATA_MAX ? left : DATA_MAX;
}

/* What could not be written is missing from the logs: the next segment's header tells how much that was. */
static void give_up_segment(struct capture *c) {
  /* A torn record is cut off; where even that fails, a reader drops it as one that is cut short. */
  (void)!ftruncate(c->fd, c->size);
  close(c->fd);
  c->fd = -1;
  c->retry_at = now_ms() + RETRY_MS;
}

static bool segment_for(struct capture *c, size_t len) {
  if (c->fd >= 0 && c->size + RECORD_HEADER + len > SEGMENT_BYTES) {
    close(c->fd);
    c->fd = -1;
    c->retry_at = 0;
  }
  if (c->fd >= 0) return true;
  if (now_ms() < c->retry_at) return false;
  if (start_segment(c)) return true;
  c->retry_at = now_ms() + RETRY_MS;
  return false;
}

/* How many of the bytes are line ends, eight at a time: a flood of short lines must not cost a search for each. */
static uint64_t line_ends(const uint8_t *data, size_t len) {
  const uint64_t low7 = 0x7f7f7f7f7f7f7f7fu, ones = 0x0101010101010101u;
  uint64_t count = 0;
  for (; len >= 8; data += 8, len -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    word ^= ones * '\n';
    /* The highest bit of each byte that is zero now, and no other bit. */
    uint64_t zero = ~(((word & low7) + low7) | word | low7);
    count += (zero >> 7) * ones >> 56;
  }
  for (; len > 0; data++, len--) count += *data == '\n';
  return count;
}

void capture_append(struct capture *c, int stream, const void *data, size_t len) {
  if (segment_for(c, len)) {
    uint8_t header[RECORD_HEADER] = {(uint8_t)(stream + 1)};
    store_u32(header + 4, (uint32_t)len);
    struct iovec parts[2] = {{header, sizeof header}, {(void *)(uintptr_t)data, len}};
    ssize_t n = writev(c->fd, parts, 2);
    if (n == (ssize_t)(sizeof header + len)) {
      c->size += (uint32_t)n;
    } else {
      give_up_segment(c);
    }
  }
  c->total[stream] += len;
  c->lines[stream] += line_ends(data, len);
}
