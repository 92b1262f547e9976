/*
 * Runs each attempt that its arguments name (`NAME` or `NAME=ARGUMENT`) and prints a line for it: its name, and OK, the
 * name of the error, the signal that ended it, or its own word.
 */
#include "attempt.h"

#include <signal.h>
#include <sys/wait.h>

static const char *word;
int inherited_descriptors;

long say(const char *text) {
  word = text;
  return 0;
}

static const struct attempt *find(const char *name, size_t len) {
  const struct attempt *const tables[] = {call_attempts, socket_attempts, file_attempts, process_attempts, machine_attempts};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
    for (const struct attempt *a = tables[t]; a->name != NULL; a++) {
      if (strlen(a->name) == len && strncmp(a->name, name, len) == 0) return a;
    }
  }
  return NULL;
}

static void attempt(const char *given) {
  size_t len = strcspn(given, "=");
  const struct attempt *a = find(given, len);
  int outcome[2];
  if (a == NULL || pipe(outcome) != 0) {
    printf("%.*s UNKNOWN\n", (int)len, given);
    return;
  }
  pid_t pid = fork();
  if (pid == 0) {
    errno = 0;
    long result = a->run(given[len] == '=' ? given + len + 1 : NULL);
    const char *text = result < 0 ? strerrorname_np(errno) : word != NULL ? word : "OK";
    if (text == NULL) text = "NO_ERROR";
    (void)!write(outcome[1], text, strlen(text));
    _exit(0);
  }
  close(outcome[1]);
  char text[128] = "";
  /* An attempt may leave children that hold the pipe, so the word is written at once. */
  ssize_t n = pid < 0 ? -1 : read(outcome[0], text, sizeof text - 1);
  close(outcome[0]);
  int status = 0;
  if (pid > 0) waitpid(pid, &status, 0);
  if (n > 0) text[n] = 0;
  else if (WIFSIGNALED(status)) snprintf(text, sizeof text, "SIG%s", sigabbrev_np(WTERMSIG(status)));
  else snprintf(text, sizeof text, "NOTHING");
  printf("%.*s %s\n", (int)len, given, text);
}

int main(int argc, char **argv) {
  for (int fd = 3; fd < 1024; fd++) inherited_descriptors += fcntl(fd, F_GETFD) >= 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argc; i++) attempt(argv[i]);
  return 0;
}
