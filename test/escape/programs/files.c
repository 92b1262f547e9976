/* Files, directories and devices. Files opened for writing are not written to: opening them is enough. */
#include "attempt.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static long read_file(const char *path) {
  char byte;
  int fd = open(path, O_RDONLY | O_NONBLOCK);
  ssize_t n = fd < 0 ? -1 : read(fd, &byte, 1);
  return n == 0 ? say("EMPTY") : n;
}

static long list(const char *path) {
  DIR *dir = opendir(path);
  if (dir == NULL) return -1;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] != '.') return 0;
  }
  return say("EMPTY");
}

static long create(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  return fd < 0 ? -1 : unlink(path);
}

/* `PATH`, and the device that is briefly created there. */
static long device(const char *path, unsigned minor_number, bool use) {
  unlink(path);
  long result = mknod(path, S_IFCHR | 0666, makedev(1, minor_number));
  if (result == 0 && use) result = open(path, O_RDONLY);
  int error = errno;
  unlink(path);
  errno = error;
  return result;
}

/* Writes 600 MiB, more than any memory file system of a sandbox with 1 GiB holds, or as much as fits. */
static long fill(const char *path) {
  static char block[1 << 20];
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  long result = fd;
  for (int i = 0; i < 600 && result >= 0; i++) {
    if (write(fd, block, sizeof block) < 0) result = -1;
  }
  int error = errno;
  unlink(path);
  errno = error;
  return result;
}

/* Lets anyone who executes the file change root, as `setcap cap_sys_chroot+ep` does. */
static long grant(const char *path) {
  struct vfs_cap_data data = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE};
  data.data[0].permitted = 1u << CAP_SYS_CHROOT;
  return setxattr(path, "security.capability", &data, sizeof data, 0);
}

/* The oldest chroot escape: a root below the working directory, then up. */
static long chroot_breakout(const char *marker) {
  if (mkdir("hole", 0700) != 0 && errno != EEXIST) return -1;
  int outside = open(".", O_RDONLY | O_DIRECTORY);
  if (outside < 0 || chroot("hole") != 0 || fchdir(outside) != 0) return -1;
  for (int i = 0; i < 64; i++) (void)!chdir("..");
  if (chroot(".") != 0) return -1;
  return access(marker, F_OK);
}

#define FILES(X) \
  X(read_file, read_file(arg)) \
  X(list, list(arg)) \
  X(open_write, open(arg, O_WRONLY)) \
  X(open_read, open(arg, O_RDONLY | O_NONBLOCK)) \
  X(create, create(arg)) \
  X(mknod_device, device(arg, 3 /* null */, false)) \
  X(open_device, device(arg, 3, true)) \
  X(open_memory, device(arg, 1 /* mem */, true)) \
  X(fill, fill(arg)) \
  X(grant, grant(arg)) \
  X(chroot_breakout, chroot_breakout(arg))

FILES(DEFINE)
const struct attempt file_attempts[] = {FILES(LIST){NULL, NULL}};
