/*
 * The mounts that root makes for a sandbox before the OCI runtime starts, in a mount namespace of their own that ends
 * with the sandbox: idmapped directories of the host (mount_setattr(2), MOUNT_ATTR_IDMAP), and overlays with `trusted`
 * attributes, so that directories of a lower layer can be renamed (redirect_dir).
 */
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* Not in the headers of every C library. The values are those of linux/mount.h and asm-generic/unistd.h. */
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#define TREE_CLONE 1u
#define ATTR_RDONLY 0x1u
#define ATTR_NOSUID 0x2u
#define ATTR_NODEV 0x4u
#define ATTR_IDMAP 0x00100000u
#define MOVE_F_EMPTY_PATH 0x4u

struct attributes {
  uint64_t set, clear, propagation, userns_fd;
};

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

int unshare_mounts(void) {
  if (unshare(CLONE_NEWNS) != 0) return fail("unshare");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return fail("make mounts private");
  return 0;
}

/* The kernel takes all lines of a map in one write. */
static bool write_map(pid_t pid, const char *name, const char *map) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write(fd, map, strlen(map)) == (ssize_t)strlen(map);
  close(fd);
  return written;
}

/*
 * The kernel counts what a user namespace uses (inotify instances, queued signals, …) against the user that created it,
 * too. With the effective id of another user, nothing is counted against the host's root. The capabilities stay, since
 * hosts may let nobody else create user namespaces.
 */
static bool become_owner(const char *owner) {
  unsigned uid = 0;
  if (sscanf(owner, "%u", &uid) != 1) return false;
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return false;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, data) != 0 || setresuid(uid, uid, uid) != 0) return false;
  return syscall(SYS_capset, &header, data) == 0;
}

/* Only a process can create a namespace. This one ends once its namespace is open here, or with its parent. */
int create_userns_with_maps(const char *uid_map, const char *gid_map, const char *owner) {
  int created[2], release[2], fd = -1;
  char byte = 0;
  if (pipe2(created, O_CLOEXEC) != 0 || pipe2(release, O_CLOEXEC) != 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    close(release[1]);
    close(created[0]);
    if (become_owner(owner) && unshare(CLONE_NEWUSER) == 0 && write(created[1], &byte, 1) == 1)
      (void)!read(release[0], &byte, 1);
    _exit(0);
  }
  close(created[1]);
  close(release[0]);
  if (pid > 0 && read(created[0], &byte, 1) == 1 && write_map(pid, "uid_map", uid_map) &&
      write_map(pid, "gid_map", gid_map)) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
  }
  int error = errno;
  close(created[0]);
  close(release[1]);
  if (pid > 0) waitpid(pid, NULL, 0);
  errno = error;
  return fd;
}

int create_userns(const char *base, const char *size, const char *owner) {
  char map[64];
  int length = snprintf(map, sizeof map, "0 %s %s\n", base, size);
  if (length < 0 || (size_t)length >= sizeof map) {
    errno = EINVAL;
    return -1;
  }
  return create_userns_with_maps(map, map, owner);
}

/*
 * Id 0 maps to itself: overlayfs creates its work files as the user who mounts, which is root. Nobody in the sandbox is
 * that user.
 */
int create_disk_userns(const char *disk_base, const char *base, const char *size, const char *owner) {
  char map[96];
  int length = snprintf(map, sizeof map, "0 0 1\n%s %s %s\n", disk_base, base, size);
  if (length < 0 || (size_t)length >= sizeof map) {
    errno = EINVAL;
    return -1;
  }
  return create_userns_with_maps(map, map, owner);
}

/* Mounts a clone of `tree`, and closes it. */
static int mount_mapped_tree(int tree, int userns_fd, const char *target, bool writable) {
  if (tree < 0) return fail("open_tree");
  struct attributes attributes = {.set = ATTR_IDMAP | ATTR_NOSUID | ATTR_NODEV | (writable ? 0 : ATTR_RDONLY),
                                  .userns_fd = (uint64_t)userns_fd};
  int failed = 0;
  if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    failed = fail("mount_setattr");
  else if (target != NULL && syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_F_EMPTY_PATH) != 0)
    failed = fail("move_mount");
  close(tree);
  return failed;
}

int mount_idmapped(int userns_fd, const char *source, const char *target, bool writable) {
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, source, TREE_CLONE | O_CLOEXEC);
  return mount_mapped_tree(tree, userns_fd, target, writable);
}

int clone_tree(int directory_fd) {
  return (int)syscall(SYS_open_tree, directory_fd, "", TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH);
}

int mount_idmapped_tree(int userns_fd, int tree, const char *target, bool writable) {
  return mount_mapped_tree(tree, userns_fd, target, writable);
}

int bind_namespace(int namespace_fd, const char *target) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", namespace_fd);
  return mount(path, target, NULL, MS_BIND, NULL) == 0 ? 0 : fail(target);
}

int mount_overlay(const char *target, const char *layers) {
  /*
   * `index` and `metacopy` would tie an upper layer to this mount, while a snapshot reuses it in another one. Without
   * `volatile`, unmounting would wait until all dirty pages of the host's disk are written.
   */
  char options[4096];
  int length = snprintf(options, sizeof options, "redirect_dir=on,index=off,metacopy=off,volatile,%s", layers);
  /* The kernel takes one page of options and silently ignores the rest. */
  if (length < 0 || (size_t)length >= sizeof options) {
    errno = E2BIG;
    return fail(target);
  }
  if (mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, options) != 0) return fail(target);
  return 0;
}
