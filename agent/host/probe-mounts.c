/*
 * `agent probe-mounts DIR BASE SIZE SYSTEM_DIR…`, on the host: ends with 0 where root's mounts behave. A mount that
 * succeeds proves nothing: what counts is that root of the sandbox can remove, make, list and rename directories of a
 * lower layer. DIR must be empty, on the file system of the state directory; it is left with files in it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/host.h"

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return HOST_FAILED;
}

/* What a host's directory looks like: owned by the host's root. */
static int make_directories(uid_t base) {
  static const char *const made[] = {"lower", "lower/moved", "lower/moved/deep", "lower/removed",
                                     "base",  "upper",       "work",             "merged"};
  for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
    if (mkdir(made[i], 0755) != 0) return fail(made[i]);
  int fd = open("lower/removed/file", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return fail("lower/removed/file");
  close(fd);
  if (chown("upper", base, base) != 0 || chown("work", base, base) != 0) return fail("chown");
  return 0;
}

static int list(const char *path, int wanted) {
  DIR *directory = opendir(path);
  int found = 0;
  if (directory == NULL) return fail(path);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) found += entry->d_name[0] != '.';
  closedir(directory);
  if (found == wanted) return 0;
  fprintf(stderr, "%s has %d entries instead of %d\n", path, found, wanted);
  return HOST_FAILED;
}

/* As root of the sandbox. */
static int behave(void) {
  struct stat st;
  if (stat("merged/moved", &st) != 0) return fail("stat");
  if (st.st_uid != 0 || st.st_gid != 0) {
    fprintf(stderr, "a directory of the host belongs to %u inside\n", (unsigned)st.st_uid);
    return HOST_FAILED;
  }
  if (rename("merged/moved", "merged/renamed") != 0) return fail("rename");
  if (list("merged/renamed", 1) != 0) return HOST_FAILED;
  if (unlink("merged/removed/file") != 0 || rmdir("merged/removed") != 0) return fail("remove");
  if (mkdir("merged/removed", 0755) != 0) return fail("mkdir");
  return list("merged/removed", 0);
}

int host_probe_mounts(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "probe-mounts: DIR BASE SIZE SYSTEM_DIR…\n");
    return HOST_USAGE;
  }
  unsigned base = 0;
  if (sscanf(argv[3], "%u", &base) != 1) return HOST_USAGE;
  if (chdir(argv[2]) != 0) return fail(argv[2]);
  if (private_mounts() != 0 || make_directories(base) != 0) return HOST_FAILED;
  int userns = sandbox_userns(argv[3], argv[4]);
  if (userns < 0) return fail("user namespace");
  /* /usr may be on another file system than the state directory, with a mind of its own. */
  for (int i = 5; i < argc; i++)
    if (map_directory(userns, argv[i], NULL) != 0) return HOST_FAILED;
  if (map_directory(userns, "lower", "base") != 0) return HOST_FAILED;
  if (mount_overlay("merged", "lowerdir=base,upperdir=upper,workdir=work") != 0) return HOST_FAILED;
  pid_t pid = fork();
  if (pid < 0) return fail("fork");
  if (pid == 0) {
    bool inside = setns(userns, CLONE_NEWUSER) == 0 && setgroups(0, NULL) == 0 && setresgid(0, 0, 0) == 0 &&
                  setresuid(0, 0, 0) == 0;
    _exit(inside ? behave() : fail("enter the user namespace"));
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return fail("waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : HOST_FAILED;
}
