/* Writes a command's output to segments of bounded size and number. */
#include "command/command.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEGMENT_BYTES 1048576u
#define SEGMENT_HEADER 48u
#define RECORD_HEADER 8u
#define SMALLEST_RECORD 4096u
#define KEPT_FIRST 8u
#define KEPT_LAST 24u
#define RETRY_MS 100

static void segment_name(char name[16], uint32_t index) { snprintf(name, 16, "%08u.log", index); }

static bool start_segment(struct output_log *log) {
  char name[16];
  uint8_t header[SEGMENT_HEADER] = "SBXLOG2\n";
  store_u32(header + 8, log->next_index);
  store_u32(header + 12, 0);
  store_u64(header + 16, log->total[0]);
  store_u64(header + 24, log->total[1]);
  store_u64(header + 32, log->lines[0]);
  store_u64(header + 40, log->lines[1]);
  segment_name(name, log->next_index);
  int fd = openat(log->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_APPEND, 0644);
  if (fd < 0) return false;
  if (!write_all(fd, header, sizeof header)) {
    close(fd);
    unlinkat(log->dir_fd, name, 0);
    return false;
  }
  if (log->next_index >= KEPT_FIRST + KEPT_LAST) {
    char old[16];
    segment_name(old, log->next_index - KEPT_LAST);
    /* A segment that cannot be removed only costs a megabyte of disk. */
    unlinkat(log->dir_fd, old, 0);
  }
  log->fd = fd;
  log->size = SEGMENT_HEADER;
  log->next_index++;
  return true;
}

bool output_log_open(struct output_log *log, int dir_fd) {
  log->dir_fd = dir_fd;
  log->next_index = 0;
  return start_segment(log);
}

/* The longest record that still fits into the current segment, or into a new one. */
size_t output_log_room(const struct output_log *log) {
  if (log->fd < 0 || SEGMENT_BYTES - log->size < RECORD_HEADER + SMALLEST_RECORD) return DATA_MAX;
  size_t left = SEGMENT_BYTES - log->size - RECORD_HEADER;
  return left < DATA_MAX ? left : DATA_MAX;
}

/* Output that cannot be written is dropped; the next segment's header shows how much is missing. */
static void abandon_segment(struct output_log *log) {
  /* Removes a torn record. If that fails, too, readers ignore it as cut short. */
  (void)!ftruncate(log->fd, log->size);
  close(log->fd);
  log->fd = -1;
  log->retry_at = now_ms() + RETRY_MS;
}

static bool open_segment(struct output_log *log, size_t len) {
  if (log->fd >= 0 && log->size + RECORD_HEADER + len > SEGMENT_BYTES) {
    close(log->fd);
    log->fd = -1;
    log->retry_at = 0;
  }
  if (log->fd >= 0) return true;
  if (now_ms() < log->retry_at) return false;
  if (start_segment(log)) return true;
  log->retry_at = now_ms() + RETRY_MS;
  return false;
}

/* Counts eight bytes at a time: a flood of short lines must not cost one search each. */
static uint64_t count_newlines(const uint8_t *data, size_t len) {
  const uint64_t low7 = 0x7f7f7f7f7f7f7f7fu, ones = 0x0101010101010101u;
  uint64_t count = 0;
  for (; len >= 8; data += 8, len -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    word ^= ones * '\n';
    /* Sets the highest bit of each byte that is zero, and no other bit. */
    uint64_t zero = ~(((word & low7) + low7) | word | low7);
    count += (zero >> 7) * ones >> 56;
  }
  for (; len > 0; data++, len--) count += *data == '\n';
  return count;
}

void output_log_append(struct output_log *log, int stream, const void *data, size_t len) {
  if (open_segment(log, len)) {
    uint8_t header[RECORD_HEADER] = {(uint8_t)(stream + 1)};
    store_u32(header + 4, (uint32_t)len);
    struct iovec parts[2] = {{header, sizeof header}, {(void *)(uintptr_t)data, len}};
    ssize_t n = writev(log->fd, parts, 2);
    if (n == (ssize_t)(sizeof header + len)) {
      log->size += (uint32_t)n;
    } else {
      abandon_segment(log);
    }
  }
  log->total[stream] += len;
  log->lines[stream] += count_newlines(data, len);
}
