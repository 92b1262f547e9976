/* Reads a RUN or SHELL request and says what is wrong with it. */
#include "agent.h"

#include <string.h>

bool command_read(struct frame *frame, struct command *c) {
  memset(c, 0, sizeof *c);
  const struct field wanted[] = {
      {TAG_ID, FIELD_TEXT, true, &c->id},
      {TAG_ARGV, FIELD_TEXTS, true, &c->argv},
      {TAG_ENV, FIELD_TEXTS, false, &c->env},
      {TAG_CWD, FIELD_TEXT, true, &c->cwd},
      {TAG_SUDO, FIELD_NUMBER, false, &c->sudo},
      {TAG_TIMEOUT_MS, FIELD_NUMBER, false, &c->timeout_ms},
      {TAG_GRACE_MS, FIELD_NUMBER, false, &c->grace_ms},
      {TAG_NPROC, FIELD_NUMBER, false, &c->nproc},
  };
  return fields_read(frame->body, frame->len, wanted, sizeof wanted / sizeof wanted[0]);
}

bool shell_read(struct frame *frame, struct command *c, uint64_t *cols, uint64_t *rows) {
  memset(c, 0, sizeof *c);
  const struct field wanted[] = {
      {TAG_ARGV, FIELD_TEXTS, true, &c->argv},
      {TAG_ENV, FIELD_TEXTS, false, &c->env},
      {TAG_CWD, FIELD_TEXT, true, &c->cwd},
      {TAG_SUDO, FIELD_NUMBER, false, &c->sudo},
      {TAG_NPROC, FIELD_NUMBER, false, &c->nproc},
      {TAG_COLS, FIELD_NUMBER, true, cols},
      {TAG_ROWS, FIELD_NUMBER, true, rows},
  };
  return fields_read(frame->body, frame->len, wanted, sizeof wanted / sizeof wanted[0]);
}

const char *command_problem(const struct command *c) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  size_t len = strlen(c->id);
  /* The id becomes a name on the host: nothing that leads elsewhere may pass. */
  if (len == 0 || len > ID_MAX || c->id[0] == '.' || strspn(c->id, allowed) != len) return "id";
  return program_problem(c);
}

const char *program_problem(const struct command *c) {
  if (!path_is_absolute(c->cwd)) return "cwd";
  if (c->argv.items[0][0] == 0) return "argv";
  if (c->sudo > 1) return "sudo";
  const uint64_t longest = (uint64_t)1 << 40;
  if (c->timeout_ms > longest || c->grace_ms > longest) return "timeout_ms";
  for (size_t i = 0; i < c->env.count; i++) {
    const char *equals = strchr(c->env.items[i], '=');
    if (equals == NULL || equals == c->env.items[i]) return "env";
  }
  return NULL;
}
