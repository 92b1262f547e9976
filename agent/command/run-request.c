/* Parses and validates a RUN request. */
#include "command/command.h"

#include <string.h>

bool command_read(struct frame *frame, struct command *c) {
  memset(c, 0, sizeof *c);
  const struct field wanted[] = {
      {TAG_ID, FIELD_STRING, true, &c->id},
      {TAG_ARGV, FIELD_STRINGS, true, &c->program.argv},
      {TAG_ENV, FIELD_STRINGS, false, &c->program.env},
      {TAG_CWD, FIELD_STRING, true, &c->program.cwd},
      {TAG_SUDO, FIELD_NUMBER, false, &c->program.sudo},
      {TAG_TIMEOUT_MS, FIELD_NUMBER, false, &c->timeout_ms},
      {TAG_GRACE_MS, FIELD_NUMBER, false, &c->grace_ms},
      {TAG_STDIN, FIELD_STRING, false, &c->program.input},
      {TAG_NPROC, FIELD_NUMBER, false, &c->program.nproc},
  };
  return fields_read(frame->body, frame->len, wanted, sizeof wanted / sizeof wanted[0]);
}

const char *invalid_command_field(const struct command *c) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  size_t len = strlen(c->id);
  /* The id becomes a file name on the host, so it must not contain anything that leads elsewhere. */
  if (len == 0 || len > ID_MAX || c->id[0] == '.' || strspn(c->id, allowed) != len) return "id";
  if (c->timeout_ms > DURATION_MAX || c->grace_ms > DURATION_MAX) return "timeout_ms";
  return invalid_program_field(&c->program);
}
