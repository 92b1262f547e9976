/*
 * `agent whiteouts LAYER`, on the host: creates whiteouts in the overlay layer LAYER, so that the layer below does not
 * show these names. Standard input holds relative paths, each ended by NUL. Descriptor 3 is the directory below: parents
 * are created with the owner, mode and time that they have there, because an overlay shows those of the upper directory.
 * No link is followed in either tree.
 */
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sysexits.h>
#include <unistd.h>

#define BELOW_FD 3
#define PATH_SIZE 4096
#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return EX_SOFTWARE;
}

static bool copy_attributes(int from, int to) {
  struct stat st;
  if (fstat(from, &st) != 0) return false;
  const struct timespec times[] = {st.st_atim, st.st_mtim};
  /* An ordinary user owns both. */
  if (fchown(to, st.st_uid, st.st_gid) != 0 && errno != EPERM) return false;
  return fchmod(to, st.st_mode & 07777) == 0 && futimens(to, times) == 0;
}

/* Opens `name` in both trees, creating it in the layer, and closes the parents. */
static bool descend(int *layer, int *below, const char *name) {
  int next_below = openat(*below, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  bool made = mkdirat(*layer, name, 0700) == 0;
  int next_layer = made || errno == EEXIST ? openat(*layer, name, DIRECTORY) : -1;
  bool done = next_below >= 0 && next_layer >= 0 && (!made || copy_attributes(next_below, next_layer));
  int error = errno;
  close(*layer);
  close(*below);
  *layer = next_layer;
  *below = next_below;
  errno = error;
  return done;
}

/* What has vanished since the caller saw it needs no whiteout. */
static bool hide(int root, char *path) {
  int layer = dup(root), below = dup(BELOW_FD);
  char *name = path;
  bool going = layer >= 0 && below >= 0;
  for (char *slash; going && (slash = strchr(name, '/')) != NULL; name = slash + 1) {
    *slash = 0;
    going = descend(&layer, &below, name);
  }
  bool done = going && (mknodat(layer, name, S_IFCHR, makedev(0, 0)) == 0 || errno == EEXIST);
  int error = errno;
  /* The whiteouts have changed the time of their directory. */
  if (done)
    done = copy_attributes(below, layer);
  else
    done = error == ENOENT || error == ENOTDIR || error == ELOOP;
  if (layer >= 0) close(layer);
  if (below >= 0) close(below);
  errno = error;
  return done;
}

int host_whiteouts(int argc, char **argv) {
  static char path[PATH_SIZE];
  if (argc != 3) return EX_USAGE;
  int root = open(argv[2], DIRECTORY);
  if (root < 0) return fail(argv[2]);
  if (!copy_attributes(BELOW_FD, root)) return fail("attributes of the layer");
  size_t length = 0;
  for (int c; (c = getchar()) != EOF;) {
    if (length >= sizeof path) return EX_DATAERR;
    path[length++] = (char)c;
    if (c != 0) continue;
    length = 0;
    if (path[0] != 0 && !hide(root, path)) return fail("whiteout");
  }
  return length == 0 ? 0 : EX_DATAERR;
}
