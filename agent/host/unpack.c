/*
 * `agent unpack DIR`, run by `agent userns` with the ids of a sandbox: makes a tree below DIR as standard input says.
 * DIR becomes the root directory of this process first, so that no name in the tree, no link and no `..` leads
 * anywhere else. Each entry is a header (struct unpack_entry, in the byte order of this machine: both ends run on it), a path,
 * for links a target, and for files the content. The entry `e` ends the tree; standard output answers how many entries
 * kept other owners than they were to have. Input that ends sooner ends this process, too.
 */
#include "agent.h"
#include "host/host.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define PATH_SIZE 4096
#define CHUNK 65536

struct unpack_entry {
  char kind; /* f file, d directory, l symbolic link, h hard link, r remove, c clear a directory, e end */
  char unused[3];
  uint32_t mode, uid, gid;
  int64_t mtime;
  uint64_t size;
  uint32_t path_len, link_len;
};

static char path[PATH_SIZE], target[PATH_SIZE];
static uint64_t flattened;

static bool read_whole(void *to, size_t len) {
  for (char *at = to; len > 0;) {
    ssize_t got = read(STDIN_FILENO, at, len);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = EPIPE;
    if (got <= 0) return false;
    at += got;
    len -= (size_t)got;
  }
  return true;
}

static bool read_text(char *text, uint32_t len) {
  if (len >= PATH_SIZE) {
    errno = ENAMETOOLONG;
    return false;
  }
  if (!read_whole(text, len)) return false;
  text[len] = 0;
  return true;
}

/* Directories that the archive has not told of. */
static bool make_ancestors(void) {
  for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    struct stat st;
    bool made = mkdir(path, 0755) == 0 || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
    /* A link that leads nowhere, or a file: what is to be below it takes its place. */
    if (!made) made = unlink(path) == 0 && mkdir(path, 0755) == 0;
    *slash = '/';
    if (!made) return false;
  }
  return true;
}

static bool remove_path(void) {
  struct stat st;
  tree_remove(AT_FDCWD, path, 0);
  if (lstat(path, &st) != 0) return errno == ENOENT || errno == ENOTDIR;
  errno = ENOTEMPTY;
  return false;
}

/* A single id, or one outside the range: the file stays root's. */
static bool own(const struct unpack_entry *e) {
  if (fchownat(AT_FDCWD, path, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno != EINVAL) return false;
  flattened++;
  return true;
}

static bool finish(const struct unpack_entry *e) {
  const struct timespec times[2] = {{.tv_sec = e->mtime}, {.tv_sec = e->mtime}};
  if (!own(e)) return false;
  /* After the owner: a change of owner takes the set-user-id bits away. */
  if (e->kind != 'l' && chmod(path, e->mode & 07777) != 0) return false;
  return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool make_file(const struct unpack_entry *e) {
  static char buffer[CHUNK];
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  bool well = true;
  for (uint64_t left = e->size; well && left > 0;) {
    size_t part = left < CHUNK ? (size_t)left : CHUNK;
    well = read_whole(buffer, part) && write_all(fd, buffer, part);
    left -= part;
  }
  int error = errno;
  if (close(fd) != 0 && well) return false;
  errno = error;
  return well && finish(e);
}

static bool make_directory(const struct unpack_entry *e) {
  struct stat st;
  if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode) && unlink(path) != 0) return false;
  if (mkdir(path, 0700) != 0 && errno != EEXIST) return false;
  return finish(e);
}

/* What is below a directory, and not it. */
static bool clear_directory(void) {
  struct stat st;
  if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return true;
  return remove_path() && mkdir(path, 0700) == 0 && chmod(path, st.st_mode & 07777) == 0 &&
         chown(path, st.st_uid, st.st_gid) == 0;
}

static bool obey(const struct unpack_entry *e) {
  if (e->kind == 'r') return remove_path();
  if (e->kind == 'c') return clear_directory();
  if (!make_ancestors()) return false;
  if (e->kind == 'd') return make_directory(e);
  if (!remove_path()) return false;
  if (e->kind == 'f') return make_file(e);
  if (e->kind == 'l') return symlink(target, path) == 0 && finish(e);
  /* The target's own attributes came with it; a link to a symbolic link is one to the link itself. */
  if (e->kind == 'h') return linkat(AT_FDCWD, target, AT_FDCWD, path, 0) == 0;
  errno = EINVAL;
  return false;
}

int host_unpack(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: agent unpack DIR\n");
    return HOST_USAGE;
  }
  /* A write to a server that has gone ends in an error, like everything else here. */
  signal(SIGPIPE, SIG_IGN);
  umask(0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || chdir(argv[2]) != 0 || chroot(".") != 0 || chdir("/") != 0) {
    fprintf(stderr, "enter the directory: %s\n", strerror(errno));
    return HOST_FAILED;
  }
  for (;;) {
    struct unpack_entry e;
    path[0] = 0;
    bool well = read_whole(&e, sizeof e) && read_text(path, e.path_len) && read_text(target, e.link_len);
    if (well && e.kind == 'e') break;
    if (!well || path[0] == 0 || !obey(&e)) {
      fprintf(stderr, "%s: %s\n", path[0] == 0 ? "an entry" : path, strerror(errno));
      return HOST_FAILED;
    }
  }
  return printf("%llu\n", (unsigned long long)flattened) > 0 && fflush(stdout) == 0 ? 0 : HOST_FAILED;
}
