/* Shared by the attempts. Each attempt is a function that returns 0 or more on success, or -1 with errno. */
#ifndef ATTEMPT_H
#define ATTEMPT_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct attempt {
  const char *name;
  long (*run)(const char *argument);
};
extern const struct attempt call_attempts[], socket_attempts[], file_attempts[], process_attempts[], machine_attempts[];

/* A descriptor besides the three standard streams that was open when the program started. */
extern int inherited_descriptors;

/* Reports a word other than OK or the name of an error. */
long say(const char *word);

#define DEFINE(name, expression) \
  static long try_##name(const char *arg) { \
    (void)arg; \
    return (long)(expression); \
  }
#define LIST(name, expression) {#name, try_##name},

#endif
