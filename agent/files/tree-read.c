/* TREE_READ: sends a file, or a directory and everything below it; with details, what they are instead of contents. */
#include "files/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Files in /proc and similar report a size of 0 but have content. */
#define UNSIZED_MAX 1048576u
/* Frames of small files are sent together, but none waits longer than this for others. */
#define GATHER_MS 20

struct reader {
  int fd;
  bool details;
  int error; /* of a file operation; the connection itself still works */
  const char *what;
  size_t len;
  char path[PATH_MAX]; /* relative to the root */
  int64_t sent_ms;
  size_t gathered;
  uint8_t frames[DATA_MAX];
};

static bool flush(struct reader *r) {
  size_t len = r->gathered;
  r->gathered = 0;
  r->sent_ms = now_ms();
  return send_all(r->fd, r->frames, len);
}

/* Makes room for so many bytes, at most as many as `frames` has. */
static bool reserve(struct reader *r, size_t len) { return len <= sizeof r->frames - r->gathered || flush(r); }

static bool gather(struct reader *r, struct reply *reply) {
  reply_end(reply);
  if (!reserve(r, reply->len)) return false;
  memcpy(r->frames + r->gathered, reply->bytes, reply->len);
  r->gathered += reply->len;
  return now_ms() - r->sent_ms < GATHER_MS || flush(r);
}

static bool fail(struct reader *r, int error, const char *what) {
  r->error = error;
  r->what = what;
  return false;
}

static bool send_entry(struct reader *r, const struct stat *st, const char *link) {
  struct reply reply;
  char kind = file_kind(st->st_mode);
  reply_begin(&reply, ANS_ENTRY);
  reply_bytes(&reply, TAG_ENTRY_PATH, r->path, r->len);
  reply_bytes(&reply, TAG_KIND, &kind, 1);
  reply_number(&reply, TAG_MODE, st->st_mode & 07777);
  reply_number(&reply, TAG_MTIME_MS, file_mtime_ms(st));
  if (link != NULL) reply_string(&reply, TAG_LINK, link);
  if (r->details) {
    reply_number(&reply, TAG_SIZE, (uint64_t)st->st_size);
    reply_number(&reply, TAG_CHANGED_US,
                 (uint64_t)st->st_ctim.tv_sec * 1000000u + (uint64_t)st->st_ctim.tv_nsec / 1000u);
  }
  return gather(r, &reply);
}

/* Reports an entry that is left out, with the reason, and continues. */
static bool skip(struct reader *r, const char *reason) {
  struct reply reply;
  reply_begin(&reply, ANS_ENTRY);
  reply_bytes(&reply, TAG_ENTRY_PATH, r->path, r->len);
  reply_bytes(&reply, TAG_KIND, "s", 1);
  reply_string(&reply, TAG_WHAT, reason);
  return gather(r, &reply);
}

/* The root must be readable; unreadable entries below it are skipped. */
static bool skip_or_fail(struct reader *r, int error, const char *what) {
  if (r->len == 0) return fail(r, error, what);
  return skip(r, error == EACCES || error == EPERM ? "permission denied" : "cannot be read");
}

static const char *special_kind(mode_t mode) {
  if (S_ISFIFO(mode)) return "fifo";
  return S_ISSOCK(mode) ? "socket" : "device";
}

/* Sends the content of a file up to `limit`; a small one together with what precedes and follows it. */
static bool read_content(struct reader *r, int file, uint64_t limit, int *error) {
  const size_t most = sizeof r->frames - FRAME_HEADER;
  *error = 0;
  if (!reserve(r, limit < most ? FRAME_HEADER + (size_t)limit : sizeof r->frames / 2)) return false;
  uint8_t *frame = r->frames + r->gathered;
  size_t room = sizeof r->frames - r->gathered - FRAME_HEADER, len = 0;
  if (room > limit) room = (size_t)limit;
  ssize_t n = 1;
  while (len < room && n > 0) {
    n = read(file, frame + FRAME_HEADER + len, room - len);
    if (n < 0 && errno == EINTR)
      n = 1;
    else if (n < 0)
      *error = errno;
    else
      len += (size_t)n;
  }
  if (len > 0) {
    store_u32(frame, (uint32_t)len);
    frame[4] = ANS_DATA;
    r->gathered += FRAME_HEADER + len;
  }
  if (n <= 0 || len == limit) return true;
  return flush(r) && send_file(r->fd, file, limit - len, error);
}

/* `what` stays NULL when the connection broke. */
static bool read_file(struct reader *r, int dir_fd, const char *name, int flags) {
  struct stat st;
  const char *what = NULL;
  int file = open_regular(dir_fd, name, flags, &st, &what);
  if (file < 0) {
    /* Removed or replaced since it was listed: treated as if it had never existed. */
    bool swapped = errno == ENOENT || errno == ELOOP || strcmp(what, "not_regular") == 0;
    return r->len > 0 && swapped ? true : skip_or_fail(r, errno, what);
  }
  /* A file that grows meanwhile is sent up to the size it had when it was opened. */
  uint64_t limit = st.st_size > 0 ? (uint64_t)st.st_size : UNSIZED_MAX;
  int error = 0;
  bool alive = send_entry(r, &st, NULL) && read_content(r, file, limit, &error);
  close(file);
  return alive && error != 0 ? fail(r, error, "read") : alive;
}

static bool read_link(struct reader *r, int dir_fd, const char *name, const struct stat *st) {
  char link[PATH_MAX];
  ssize_t n = readlinkat(dir_fd, name, link, sizeof link - 1);
  if (n < 0) return errno == ENOENT || errno == EINVAL ? true : skip_or_fail(r, errno, "readlink");
  link[n] = 0;
  return send_entry(r, st, link);
}

static bool read_directory(struct reader *r, int dir_fd, const char *name, int flags, int depth);

static bool read_below(struct reader *r, int dir_fd, const char *name, int depth) {
  struct stat st;
  if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? true : skip_or_fail(r, errno, "stat");
  }
  if (S_ISREG(st.st_mode)) return r->details ? send_entry(r, &st, NULL) : read_file(r, dir_fd, name, O_NOFOLLOW);
  if (S_ISDIR(st.st_mode)) return read_directory(r, dir_fd, name, O_NOFOLLOW, depth + 1);
  return S_ISLNK(st.st_mode) ? read_link(r, dir_fd, name, &st) : skip(r, special_kind(st.st_mode));
}

static bool read_entries(struct reader *r, DIR *dir, int depth) {
  size_t len = r->len;
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(dir);
    if (entry == NULL) return errno == 0 ? true : fail(r, errno, "readdir");
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    size_t size = strlen(name), at = len == 0 ? 0 : len + 1;
    if (at + size >= sizeof r->path) return fail(r, ENAMETOOLONG, "path");
    if (len > 0) r->path[len] = '/';
    memcpy(r->path + at, name, size + 1);
    r->len = at + size;
    /* On failure the path stays that of the entry, for the answer. */
    if (!read_below(r, dirfd(dir), name, depth)) return false;
    r->len = len;
    r->path[len] = 0;
  }
}

/* Whether something is mounted at the directory; false on kernels before 5.8, which do not say. */
static bool is_mount_point(int fd) {
  struct statx found;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &found) != 0) return false;
  return (found.stx_attributes & found.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;
}

static bool read_directory(struct reader *r, int dir_fd, const char *name, int flags, int depth) {
  struct stat st;
  if (depth > DEPTH_MAX) return fail(r, ENAMETOOLONG, "depth");
  int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | flags);
  if (fd < 0)
    return r->len > 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) ? true
                                                                                 : skip_or_fail(r, errno, "open");
  /* A list is of the tree's own file system: a volume is not part of it, wherever its mount point was moved. */
  if (r->details && r->len > 0 && is_mount_point(fd)) return close(fd), true;
  DIR *dir = fdopendir(fd);
  if (dir == NULL) {
    int error = errno;
    close(fd);
    return fail(r, error, "open");
  }
  bool going = fstat(fd, &st) == 0 ? send_entry(r, &st, NULL) : fail(r, errno, "stat");
  if (going) going = read_entries(r, dir, depth);
  closedir(dir);
  return going;
}

bool serve_tree_read(int fd, struct frame *frame) {
  static struct reader r;
  char *path = NULL;
  uint64_t details = 0;
  struct stat st;
  const struct field wanted[] = {{TAG_PATH, FIELD_STRING, true, &path}, {TAG_DETAILS, FIELD_NUMBER, false, &details}};
  if (!fields_read(frame->body, frame->len, wanted, 2)) return send_protocol_error(fd);
  if (!path_is_absolute(path)) return send_error(fd, EINVAL, "path", path);
  if (stat(path, &st) != 0) return send_error(fd, errno, "stat", path);
  memset(&r, 0, sizeof r);
  r.fd = fd;
  r.details = details != 0;
  r.sent_ms = now_ms();
  enlarge_send_buffer(fd);
  bool whole = S_ISDIR(st.st_mode) ? read_directory(&r, AT_FDCWD, path, 0, 0) : read_file(&r, AT_FDCWD, path, 0);
  if (whole) return flush(&r) && send_empty(fd, ANS_END);
  if (r.what == NULL || !flush(&r)) return false;
  char full[REPLY_MAX];
  size_t len = strlen(path);
  if (r.len == 0 || len + 1 + r.len >= sizeof full) return send_error(fd, r.error, r.what, path);
  memcpy(full, path, len);
  full[len] = '/';
  memcpy(full + len + 1, r.path, r.len + 1);
  return send_error(fd, r.error, r.what, full);
}
