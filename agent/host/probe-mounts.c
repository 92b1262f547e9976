/*
 * `agent probe-mounts DIR BASE SIZE SYSTEM_DIR…`, on the host: exits with 0 if root's mounts work here. A successful
 * mount is not enough: the sandbox's root must be able to remove, create, list and rename directories of a lower layer.
 * DIR must be empty and on the file system of the state directory; the probe leaves files in it.
 */
#include "host/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

/* Stands for a host directory: owned by the host's root. */
static int make_directories(uid_t base) {
  static const char *const made[] = {"lower", "lower/moved", "lower/moved/deep", "lower/removed", "base", "upper",
                                     "work",  "merged"};
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
  return EX_SOFTWARE;
}

/* Runs as the sandbox's root. */
static int try_overlay(void) {
  struct stat st;
  if (stat("merged/moved", &st) != 0) return fail("stat");
  if (st.st_uid != 0 || st.st_gid != 0) {
    fprintf(stderr, "a directory of the host belongs to %u inside\n", (unsigned)st.st_uid);
    return EX_SOFTWARE;
  }
  if (rename("merged/moved", "merged/renamed") != 0) return fail("rename");
  if (list("merged/renamed", 1) != 0) return EX_SOFTWARE;
  if (unlink("merged/removed/file") != 0 || rmdir("merged/removed") != 0) return fail("remove");
  if (mkdir("merged/removed", 0755) != 0) return fail("mkdir");
  return list("merged/removed", 0);
}

int host_probe_mounts(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "probe-mounts: DIR BASE SIZE SYSTEM_DIR…\n");
    return EX_USAGE;
  }
  unsigned base = 0;
  if (sscanf(argv[3], "%u", &base) != 1) return EX_USAGE;
  if (chdir(argv[2]) != 0) return fail(argv[2]);
  if (unshare_mounts() != 0 || make_directories(base) != 0) return EX_SOFTWARE;
  int userns = create_userns(argv[3], argv[4], argv[3]);
  if (userns < 0) return fail("user namespace");
  /* /usr may be on a different file system from the state directory, one that cannot be idmapped. */
  for (int i = 5; i < argc; i++)
    if (mount_idmapped(userns, argv[i], NULL) != 0) return EX_SOFTWARE;
  if (mount_idmapped(userns, "lower", "base") != 0) return EX_SOFTWARE;
  if (mount_overlay("merged", "lowerdir=base,upperdir=upper,workdir=work") != 0) return EX_SOFTWARE;
  pid_t pid = fork();
  if (pid < 0) return fail("fork");
  if (pid == 0) {
    bool inside = setns(userns, CLONE_NEWUSER) == 0 && setgroups(0, NULL) == 0 && setresgid(0, 0, 0) == 0 &&
                  setresuid(0, 0, 0) == 0;
    _exit(inside ? try_overlay() : fail("enter the user namespace"));
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return fail("waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}
