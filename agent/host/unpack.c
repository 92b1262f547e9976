/*
 * `agent unpack DIR [LAYERS]`, run by `agent userns` with the ids of a sandbox: creates the tree that standard input
 * describes below DIR. DIR becomes the root directory of this process first, so that no name, link or `..` in the tree
 * leads outside. The server, and never an archive, names the files of LAYERS, which trees share. Each entry is a header
 * (struct unpack_entry, in this machine's byte order, since both ends run on it), a path, for links a target, and for
 * files the content. The entry `e` ends the tree; standard output then gets the number of entries whose owner could not
 * be set. If the input ends early, so does this process, with an error.
 */
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "files/files.h"

#define PATH_SIZE 4096

struct unpack_entry {
  /*
   * f file, d directory, t times of a directory, l symbolic link, h hard link, s file shared with LAYERS, p copy of
   * one, r remove, c clear, e end
   */
  char kind;
  char unused[3];
  uint32_t mode, uid, gid;
  int64_t mtime;
  uint64_t size;
  uint32_t path_len, link_len;
};

static char path[PATH_SIZE], target[PATH_SIZE];
/* The last directory that entries were created in: most entries share it with the one before. Empty: unknown. */
static char parent[PATH_SIZE];
static uint64_t owners_lost;
static int layers = -1;

static bool read_text(char *text, uint32_t len) {
  if (len >= PATH_SIZE) {
    errno = ENAMETOOLONG;
    return false;
  }
  if (!read_input(text, len)) return false;
  text[len] = 0;
  return true;
}

/* Creates parent directories that the archive does not list. */
static bool create_parents(void) {
  const char *last = strrchr(path, '/');
  size_t len = last == NULL ? 0 : (size_t)(last - path);
  if (strncmp(parent, path, len) == 0 && parent[len] == 0) return true;
  for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    struct stat st;
    bool made = mkdir(path, 0755) == 0 || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
    /* A dangling link or a file is replaced by the directory. */
    if (!made) made = unlink(path) == 0 && mkdir(path, 0755) == 0;
    *slash = '/';
    if (!made) return false;
  }
  memcpy(parent, path, len);
  parent[len] = 0;
  return true;
}

static bool remove_path(void) {
  struct stat st;
  parent[0] = 0;
  remove_tree(AT_FDCWD, path, 0);
  if (lstat(path, &st) != 0) return errno == ENOENT || errno == ENOTDIR;
  errno = ENOTEMPTY;
  return false;
}

/* EINVAL: the id is not mapped, so the file keeps root as its owner. */
static bool set_owner(const struct unpack_entry *e) {
  if (fchownat(AT_FDCWD, path, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno != EINVAL) return false;
  owners_lost++;
  return true;
}

static bool set_times(const struct unpack_entry *e) {
  const struct timespec times[2] = {{.tv_sec = e->mtime}, {.tv_sec = e->mtime}};
  return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Creating entries in a directory changes its times, so they are set again once it is complete. */
static bool set_directory_times(const struct unpack_entry *e) {
  struct stat st;
  return lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) || set_times(e);
}

static bool set_attributes(const struct unpack_entry *e) {
  if (!set_owner(e)) return false;
  /* After the owner, since changing it clears the set-user-id bits. */
  if (e->kind != 'l' && chmod(path, e->mode & 07777) != 0) return false;
  return set_times(e);
}

static bool set_file_attributes(int fd, const struct unpack_entry *e) {
  const struct timespec times[2] = {{.tv_sec = e->mtime}, {.tv_sec = e->mtime}};
  if (fchown(fd, e->uid, e->gid) != 0) {
    if (errno != EINVAL) return false;
    owners_lost++;
  }
  return fchmod(fd, e->mode & 07777) == 0 && futimens(fd, times) == 0;
}

/* Creates a file with the content of the file `from`, or, if that is -1, of the input. */
static bool make_file(const struct unpack_entry *e, int from) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  bool ok = from < 0 ? write_input(fd, e->size) : copy_content(from, fd, e->size);
  ok = ok && set_file_attributes(fd, e);
  int error = errno;
  if (close(fd) != 0 && ok) return false;
  errno = error;
  return ok;
}

/* Copies the file `target` of a directory, with its attributes. */
static bool copy_file(int dir) {
  struct stat st = {0};
  int from = openat(dir, target, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (from < 0) return false;
  bool ok = fstat(from, &st) == 0;
  const struct unpack_entry e = {.kind = 'f',
                                 .mode = st.st_mode,
                                 .uid = st.st_uid,
                                 .gid = st.st_gid,
                                 .mtime = st.st_mtime,
                                 .size = (uint64_t)st.st_size};
  ok = ok && make_file(&e, from);
  int error = errno;
  close(from);
  errno = error;
  return ok;
}

/*
 * Links the file `target` of a directory. One that has as many links as its file system allows is copied: links of
 * other trees must not keep this one from being made.
 */
static bool link_file(int dir) {
  if (linkat(dir, target, AT_FDCWD, path, 0) == 0) return true;
  return errno == EMLINK && copy_file(dir);
}

static bool make_directory(const struct unpack_entry *e) {
  struct stat st;
  if (mkdir(path, 0700) != 0) {
    if (errno != EEXIST || lstat(path, &st) != 0) return false;
    if (!S_ISDIR(st.st_mode) && (!remove_path() || mkdir(path, 0700) != 0)) return false;
  }
  return set_attributes(e);
}

/* Empties a directory. */
static bool clear_directory(void) {
  struct stat st;
  if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return true;
  return remove_path() && mkdir(path, 0700) == 0 && chmod(path, st.st_mode & 07777) == 0 &&
         chown(path, st.st_uid, st.st_gid) == 0;
}

/* Fails with EEXIST, before it has taken any input, if there is something at the path. */
static bool create_entry(const struct unpack_entry *e) {
  if (e->kind == 'f') return make_file(e, -1);
  if (e->kind == 'l') return symlink(target, path) == 0 && set_attributes(e);
  /* The target already has its attributes. A hard link to a symbolic link refers to the link itself. */
  if (e->kind == 'h') return link_file(AT_FDCWD);
  if (e->kind == 's') return link_file(layers);
  if (e->kind == 'p') return copy_file(layers);
  errno = EINVAL;
  return false;
}

static bool apply_entry(const struct unpack_entry *e) {
  if (e->kind == 'r') return remove_path();
  if (e->kind == 'c') return clear_directory();
  if (e->kind == 't') return set_directory_times(e);
  if (!create_parents()) return false;
  if (e->kind == 'd') return make_directory(e);
  if (create_entry(e)) return true;
  return errno == EEXIST && remove_path() && create_entry(e);
}

static bool flush_to_disk(void) {
  int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return root >= 0 && syncfs(root) == 0;
}

int host_unpack(int argc, char **argv) {
  if (argc != 3 && argc != 4) {
    fprintf(stderr, "usage: agent unpack DIR [LAYERS]\n");
    return EX_USAGE;
  }
  /* Without the signal, writing to a dead server is an ordinary error. */
  signal(SIGPIPE, SIG_IGN);
  umask(0);
  if (argc == 4 && (layers = open(argv[3], O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
    fprintf(stderr, "open the layers: %s\n", strerror(errno));
    return EX_SOFTWARE;
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || chdir(argv[2]) != 0 || chroot(".") != 0 || chdir("/") != 0) {
    fprintf(stderr, "enter the directory: %s\n", strerror(errno));
    return EX_SOFTWARE;
  }
  for (;;) {
    struct unpack_entry e;
    path[0] = 0;
    bool ok = read_input(&e, sizeof e) && read_text(path, e.path_len) && read_text(target, e.link_len);
    if (ok && e.kind == 'e') break;
    if (!ok || path[0] == 0 || !apply_entry(&e)) {
      fprintf(stderr, "%s: %s\n", path[0] == 0 ? "an entry" : path, strerror(errno));
      return EX_SOFTWARE;
    }
  }
  if (!flush_to_disk()) {
    fprintf(stderr, "write to disk: %s\n", strerror(errno));
    return EX_SOFTWARE;
  }
  return printf("%llu\n", (unsigned long long)owners_lost) > 0 && fflush(stdout) == 0 ? 0 : EX_SOFTWARE;
}
