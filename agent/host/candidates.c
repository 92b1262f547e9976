/*
 * `agent candidates`, on the host: walks the directory of descriptor 3 and prints the entries that rules may name, each
 * as `d` (a directory) or `f` and the relative path, ended by NUL; a directory comes before its contents. Standard input
 * holds the rules: for each the text that its names begin with and the text that they end with, in lower case, each ended
 * by NUL. The caller decides; this only spares it the names of a large tree. No link is followed. A last `e` says that
 * the list is complete.
 */
#include "host/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define ROOT_FD 3
#define PATH_SIZE 8192
#define RULES_SIZE 262144
/* Each level holds a descriptor. */
#define MAX_DEPTH 400

static char rules[RULES_SIZE], path[PATH_SIZE];
static size_t rules_length;

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

static char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? (char)(letter | 0x20) : letter; }

static bool may_be_named(const char *name) {
  size_t length = strlen(name);
  char first = lower(name[0]), last = lower(name[length - 1]);
  for (const char *begin = rules; begin < rules + rules_length;) {
    size_t begins = strlen(begin);
    const char *end = begin + begins + 1;
    size_t ends = strlen(end);
    /* One letter rules most of them out. */
    bool may = begins > 0 ? *begin == first : ends == 0 || end[ends - 1] == last;
    if (may && begins + ends <= length && strncasecmp(name, begin, begins) == 0 &&
        strncasecmp(name + length - ends, end, ends) == 0)
      return true;
    begin = end + ends + 1;
  }
  return false;
}

static bool is_directory(int directory_fd, const struct dirent *entry) {
  struct stat st;
  if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
  return fstatat(directory_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Closes the descriptor. */
static int walk(int directory_fd, size_t length, int depth) {
  DIR *directory = fdopendir(directory_fd);
  if (directory == NULL) return fail("directory");
  int failed = 0;
  for (struct dirent *entry; failed == 0 && (entry = readdir(directory)) != NULL;) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    size_t added = strlen(name), end = length + (length > 0) + added;
    errno = ENAMETOOLONG;
    if (end >= sizeof path || depth > MAX_DEPTH) {
      failed = fail("path");
      break;
    }
    if (length > 0) path[length] = '/';
    memcpy(path + end - added, name, added + 1);
    bool below = is_directory(directory_fd, entry);
    if (may_be_named(name)) {
      putchar(below ? 'd' : 'f');
      fwrite(path, 1, end + 1, stdout);
    }
    /* What this process may not list, and what has vanished, is not visible in the sandbox either. */
    int fd = below ? openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd >= 0) failed = walk(fd, end, depth + 1);
  }
  closedir(directory);
  return failed;
}

int host_candidates(int argc, char **argv) {
  (void)argv;
  if (argc != 2) return EX_USAGE;
  rules_length = fread(rules, 1, sizeof rules, stdin);
  size_t ends = 0;
  for (size_t i = 0; i < rules_length; i++) ends += rules[i] == 0;
  if (rules_length == sizeof rules || ends % 2 != 0 || (rules_length > 0 && rules[rules_length - 1] != 0)) {
    return EX_DATAERR;
  }
  int fd = openat(ROOT_FD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail("folder");
  int failed = walk(fd, 0, 0);
  if (failed == 0) putchar('e');
  return fflush(stdout) == 0 ? failed : fail("output");
}
