/*
 * The input of `agent unpack`, and the content of the files that it makes. Zeros become holes: a small archive can have
 * files of any size, with a sparse file or by its compression, and none should fill a disk with zeros.
 */
#include "host/host.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define CHUNK 262144
/* Of a file system; a hole is as large or larger. */
#define BLOCK 4096

/* What was read from standard input and no entry has taken yet. */
static char input[CHUNK];
static size_t input_at, input_end;

/* Returns how many bytes of input there are, waiting for some; 0 at its end, or after an error. */
static size_t fill_input(void) {
  while (input_at == input_end) {
    ssize_t got = read(STDIN_FILENO, input, sizeof input);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = EPIPE;
    if (got <= 0) return 0;
    input_at = 0;
    input_end = (size_t)got;
  }
  return input_end - input_at;
}

bool read_input(void *to, size_t len) {
  for (char *at = to; len > 0;) {
    size_t part = fill_input();
    if (part == 0) return false;
    if (part > len) part = len;
    memcpy(at, input + input_at, part);
    input_at += part;
    at += part;
    len -= part;
  }
  return true;
}

static bool write_at(int to, const char *bytes, size_t len, off_t at) {
  while (len > 0) {
    ssize_t wrote = pwrite(to, bytes, len, at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes += wrote;
    at += wrote;
    len -= (size_t)wrote;
  }
  return true;
}

static bool is_zero(const char *bytes, size_t len) { return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0; }

/* Writes bytes except for blocks of zeros. `end` becomes the end of what was written, if something was. */
static bool write_data(int to, const char *bytes, size_t len, off_t at, off_t *end) {
  size_t data = 0;
  while (len > 0) {
    size_t block = BLOCK - (size_t)(at + (off_t)data) % BLOCK;
    if (block > len - data) block = len - data;
    bool hole = is_zero(bytes + data, block);
    if (!hole) data += block;
    size_t done = hole ? data + block : data;
    if (!hole && data < len) continue;
    if (data > 0) {
      if (!write_at(to, bytes, data, at)) return false;
      *end = at + (off_t)data;
    }
    bytes += done;
    at += (off_t)done;
    len -= done;
    data = 0;
  }
  return true;
}

bool write_input(int to, uint64_t size) {
  off_t at = 0, end = 0;
  for (uint64_t len = size; len > 0;) {
    size_t part = fill_input();
    if (part == 0) return false;
    if (part > len) part = (size_t)len;
    if (!write_data(to, input + input_at, part, at, &end)) return false;
    input_at += part;
    at += (off_t)part;
    len -= part;
  }
  return end == at || ftruncate(to, at) == 0;
}

static bool send_all(int from, int to, off_t len) {
  while (len > 0) {
    ssize_t sent = sendfile(to, from, NULL, len < CHUNK ? (size_t)len : CHUNK);
    if (sent < 0 && errno == EINTR) continue;
    if (sent == 0) errno = EIO;
    if (sent <= 0) return false;
    len -= sent;
  }
  return true;
}

bool copy_content(int from, int to, uint64_t size) {
  off_t end = (off_t)size;
  for (off_t at = 0; at < end;) {
    off_t data = lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
    if (hole < 0 || lseek(from, data, SEEK_SET) < 0 || lseek(to, data, SEEK_SET) < 0) return false;
    if (!send_all(from, to, (hole < end ? hole : end) - data)) return false;
    at = hole;
  }
  return ftruncate(to, end) == 0;
}
