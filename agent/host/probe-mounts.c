/*
 * `agent probe-mounts DIR BASE SIZE DISK_BASE HOST_DIR…`, on the host: exits with 0 if root's mounts work here. A
 * successful mount is not enough: the sandbox's root must be able to remove, create, list and rename directories of a
 * lower layer. The sandbox has the ids from BASE on, and its files those from DISK_BASE on: if these differ, its layers
 * are idmapped too, and the probe looks at the owners that its root sees and leaves on disk. DIR must be empty and on
 * the file system of the state directory; the probe leaves files in it.
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

/* A user of the sandbox other than root. */
#define USER 1000

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

static int make_file(const char *path, mode_t mode) {
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
  if (fd < 0) return fail(path);
  close(fd);
  return 0;
}

/* `host` stands for a host directory, owned by the host's root; `disk` has a snapshot's layer and the sandbox's own. */
static int make_directories(uid_t disk_base) {
  static const char *const made[] = {"host", "host/moved", "host/moved/deep", "host/removed",
                                     "base", "merged",     "mapped"};
  static const char *const owned[] = {"disk", "disk/lower", "disk/lower/kept", "disk/upper", "disk/work"};
  for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
    if (mkdir(made[i], 0755) != 0) return fail(made[i]);
  for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
    if (mkdir(owned[i], 0755) != 0 || chown(owned[i], disk_base, disk_base) != 0) return fail(owned[i]);
  if (make_file("host/removed/file", 0644) != 0 || make_file("disk/lower/kept/file", 0644) != 0) return EX_SOFTWARE;
  if (chown("disk/lower/kept/file", disk_base + USER, disk_base + USER) != 0) return fail("chown");
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

static int require_owner(const char *path, uid_t owner) {
  struct stat st;
  if (lstat(path, &st) != 0) return fail(path);
  if (st.st_uid == owner && st.st_gid == owner) return 0;
  fprintf(stderr, "%s belongs to %u\n", path, (unsigned)st.st_uid);
  return EX_SOFTWARE;
}

/* Runs as the sandbox's root. */
static int try_overlay(void) {
  if (require_owner("merged/moved", 0) != 0 || require_owner("merged/kept/file", USER) != 0) return EX_SOFTWARE;
  if (make_file("merged/kept/made", 0644) != 0) return EX_SOFTWARE;
  /* Copied up, with its owner and a mode that a change of owner would take away. */
  if (chmod("merged/kept/file", 04755) != 0) return fail("chmod");
  if (rename("merged/moved", "merged/renamed") != 0) return fail("rename");
  if (list("merged/renamed", 1) != 0) return EX_SOFTWARE;
  if (unlink("merged/removed/file") != 0 || rmdir("merged/removed") != 0) return fail("remove");
  if (mkdir("merged/removed", 0755) != 0) return fail("mkdir");
  return list("merged/removed", 0);
}

/* Runs as the host's root, after `try_overlay`. */
static int try_disk(uid_t disk_base) {
  struct stat st;
  if (require_owner("disk/upper/kept/file", disk_base + USER) != 0) return EX_SOFTWARE;
  if (stat("disk/upper/kept/file", &st) != 0) return fail("stat");
  if ((st.st_mode & 07777) == 04755) return require_owner("disk/upper/kept/made", disk_base);
  fprintf(stderr, "a copied file has the mode %o\n", (unsigned)st.st_mode);
  return EX_SOFTWARE;
}

static int mount_layers(int userns, char **argv) {
  const char *base = argv[3], *size = argv[4], *disk_base = argv[5];
  if (mount_idmapped(userns, "host", "base", false) != 0) return EX_SOFTWARE;
  if (strcmp(base, disk_base) == 0)
    return mount_overlay("merged", "lowerdir=disk/lower:base,upperdir=disk/upper,workdir=disk/work");
  int disk_ids = create_disk_userns(disk_base, base, size, base);
  if (disk_ids < 0) return fail("user namespace of the disk");
  int failed = mount_idmapped(disk_ids, "disk", "mapped", true);
  close(disk_ids);
  if (failed != 0) return failed;
  return mount_overlay("merged", "lowerdir=mapped/lower:base,upperdir=mapped/upper,workdir=mapped/work");
}

int host_probe_mounts(int argc, char **argv) {
  if (argc < 6) {
    fprintf(stderr, "probe-mounts: DIR BASE SIZE DISK_BASE HOST_DIR…\n");
    return EX_USAGE;
  }
  unsigned disk_base = 0;
  if (sscanf(argv[5], "%u", &disk_base) != 1) return EX_USAGE;
  if (chdir(argv[2]) != 0) return fail(argv[2]);
  if (unshare_mounts() != 0 || make_directories(disk_base) != 0) return EX_SOFTWARE;
  int userns = create_userns(argv[3], argv[4], argv[3]);
  if (userns < 0) return fail("user namespace");
  /* /usr may be on a different file system from the state directory, one that cannot be idmapped. */
  for (int i = 6; i < argc; i++)
    if (mount_idmapped(userns, argv[i], NULL, false) != 0) return EX_SOFTWARE;
  if (mount_layers(userns, argv) != 0) return EX_SOFTWARE;
  pid_t pid = fork();
  if (pid < 0) return fail("fork");
  if (pid == 0) {
    bool inside = setns(userns, CLONE_NEWUSER) == 0 && setgroups(0, NULL) == 0 && setresgid(0, 0, 0) == 0 &&
                  setresuid(0, 0, 0) == 0;
    _exit(inside ? try_overlay() : fail("enter the user namespace"));
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return fail("waitpid");
  if (!WIFEXITED(status)) return EX_SOFTWARE;
  return WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : try_disk(disk_base);
}
