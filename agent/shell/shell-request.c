/* Parses and validates a SHELL request. */
#include "shell/shell.h"

#include <string.h>

bool shell_read(struct frame *frame, struct shell_request *r) {
  memset(r, 0, sizeof *r);
  const struct field wanted[] = {
      {TAG_ARGV, FIELD_STRINGS, true, &r->program.argv},   {TAG_ENV, FIELD_STRINGS, false, &r->program.env},
      {TAG_CWD, FIELD_STRING, true, &r->program.cwd},      {TAG_SUDO, FIELD_NUMBER, false, &r->program.sudo},
      {TAG_NPROC, FIELD_NUMBER, false, &r->program.nproc}, {TAG_STDIN, FIELD_STRING, false, &r->program.input},
      {TAG_COLS, FIELD_NUMBER, false, &r->cols},           {TAG_ROWS, FIELD_NUMBER, false, &r->rows},
  };
  return fields_read(frame->body, frame->len, wanted, sizeof wanted / sizeof wanted[0]);
}

const char *invalid_shell_field(const struct shell_request *r) {
  bool valid_size = r->cols >= 1 && r->cols <= UINT16_MAX && r->rows >= 1 && r->rows <= UINT16_MAX;
  bool needs_size = r->program.input == NULL;
  const char *field = invalid_program_field(&r->program);
  return field == NULL && needs_size && !valid_size ? "size" : field;
}
