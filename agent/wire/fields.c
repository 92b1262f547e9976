/* Parses the fields of a request in place; only the arrays of repeated fields are allocated. */
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

static const struct field *find(const struct field *wanted, size_t count, uint8_t tag, size_t *at) {
  for (size_t i = 0; i < count; i++) {
    if (wanted[i].tag == tag) {
      *at = i;
      return &wanted[i];
    }
  }
  return NULL;
}

/* Counts each field and checks all lengths, so that the second pass can trust them. */
static bool check(const uint8_t *body, size_t len, const struct field *wanted, size_t count, size_t *seen) {
  size_t pos = 0;
  while (pos < len) {
    if (len - pos < 5) return false;
    size_t at = 0;
    const struct field *f = find(wanted, count, body[pos], &at);
    size_t size = load_u32(body + pos + 1);
    pos += 5;
    if (f == NULL || size > len - pos) return false;
    if (f->kind == FIELD_NUMBER && size != 8) return false;
    if (f->kind != FIELD_STRINGS && seen[at] > 0) return false;
    if (f->kind != FIELD_NUMBER && memchr(body + pos, 0, size) != NULL) return false;
    seen[at]++;
    pos += size;
  }
  for (size_t i = 0; i < count; i++) {
    if (wanted[i].required && seen[i] == 0) return false;
  }
  return true;
}

bool fields_read(uint8_t *body, size_t len, const struct field *wanted, size_t count) {
  size_t seen[16] = {0};
  if (count > sizeof seen / sizeof seen[0]) return false;
  if (!check(body, len, wanted, count, seen)) return false;
  for (size_t i = 0; i < count; i++) {
    if (wanted[i].kind != FIELD_STRINGS) continue;
    struct string_list *texts = wanted[i].out;
    texts->items = calloc(seen[i] + 1, sizeof texts->items[0]);
    if (texts->items == NULL) return false;
    texts->count = 0;
  }
  size_t pos = 0;
  while (pos < len) {
    size_t at = 0;
    const struct field *f = find(wanted, count, body[pos], &at);
    size_t size = load_u32(body + pos + 1);
    uint8_t *value = body + pos + 5;
    pos += 5 + size;
    if (f->kind == FIELD_NUMBER) {
      *(uint64_t *)f->out = load_u64(value);
      continue;
    }
    /* Moved down by one byte, over the length that was already read, to make room for the terminating zero. */
    char *text = (char *)value - 1;
    memmove(text, value, size);
    text[size] = 0;
    if (f->kind == FIELD_STRING) {
      *(char **)f->out = text;
    } else {
      struct string_list *texts = f->out;
      texts->items[texts->count++] = text;
    }
  }
  return true;
}
