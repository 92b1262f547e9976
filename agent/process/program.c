/* Checks what a RUN or SHELL request asks to execute. */
#include "process/process.h"

#include <string.h>

const char *invalid_program_field(const struct program *p) {
  if (p->cwd == NULL || p->cwd[0] != '/') return "cwd";
  if (p->argv.items[0][0] == 0) return "argv";
  if (p->sudo > 1) return "sudo";
  for (size_t i = 0; i < p->env.count; i++) {
    const char *equals = strchr(p->env.items[i], '=');
    if (equals == NULL || equals == p->env.items[i]) return "env";
  }
  return NULL;
}
