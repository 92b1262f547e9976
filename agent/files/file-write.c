/* WRITE: replaces a file atomically. */
#include "files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEEP_MODE UINT64_MAX

struct upload {
  char target[PATH_MAX], temporary[PATH_MAX];
  int file;
  mode_t mode;
  const char *what;
};

/* Returns 0 or an errno. */
static int open_upload(struct upload *u, const char *path, uint64_t mode) {
  struct stat st;
  u->what = "path";
  if (!path_is_absolute(path)) return EINVAL;
  if (path[strlen(path) - 1] == '/') return EISDIR;
  u->what = "mkdir";
  int error = make_parents(path);
  if (error != 0) return error;
  u->what = "stat";
  error = resolve_links(path, u->target, sizeof u->target, &st);
  if (error != 0) return error;
  if (S_ISDIR(st.st_mode)) return EISDIR;
  u->what = "not_regular";
  if (st.st_mode != 0 && !S_ISREG(st.st_mode)) return EINVAL;
  u->mode = mode != KEEP_MODE ? (mode_t)(mode & 07777) : st.st_mode != 0 ? st.st_mode & 07777 : 0644;
  u->what = "create";
  temporary_name(u->target, u->temporary, sizeof u->temporary);
  if (u->temporary[0] == 0) return ENAMETOOLONG;
  u->file = open(u->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  return u->file < 0 ? errno : 0;
}

static int close_upload(struct upload *u) {
  u->what = "chmod";
  int error = fchmod(u->file, u->mode) == 0 ? 0 : errno;
  if (close(u->file) != 0 && error == 0) {
    u->what = "write";
    error = errno;
  }
  u->file = -1;
  if (error != 0) return error;
  u->what = "rename";
  return rename(u->temporary, u->target) == 0 ? 0 : errno;
}

static void abort_upload(struct upload *u) {
  if (u->file >= 0) close(u->file);
  u->file = -1;
  if (u->temporary[0] != 0) unlink(u->temporary);
  u->temporary[0] = 0;
}

/* Receives up to END. `*error` is the file's error; the result is whether the connection can still be used. */
static bool receive(int fd, struct frame *frame, struct upload *u, int *error) {
  for (;;) {
    enum frame_result got = frame_read(fd, frame);
    if (got == FRAME_OK && frame->type == ANS_END) return true;
    if (got == FRAME_INVALID || (got == FRAME_OK && frame->type != ANS_DATA)) return send_protocol_error(fd);
    if (got != FRAME_OK) return false;
    u->what = "write";
    if (write_all(u->file, frame->body, frame->len)) continue;
    *error = errno;
    return true;
  }
}

bool serve_write(int fd, struct frame *frame) {
  static struct upload u;
  memset(&u, 0, sizeof u);
  u.file = -1;
  char *text = NULL;
  char path[PATH_MAX];
  uint64_t mode = KEEP_MODE;
  const struct field wanted[] = {{TAG_PATH, FIELD_STRING, true, &text}, {TAG_WRITE_MODE, FIELD_NUMBER, false, &mode}};
  if (!fields_read(frame->body, frame->len, wanted, 2)) return send_protocol_error(fd);
  /* Copied: the frames that follow reuse this frame's memory. */
  bool fits = strlen(text) < sizeof path;
  snprintf(path, sizeof path, "%s", text);
  u.what = "path";
  int error = fits ? open_upload(&u, path, mode) : ENAMETOOLONG;
  bool ended = false;
  if (error == 0) {
    if (!receive(fd, frame, &u, &error)) {
      abort_upload(&u);
      return false;
    }
    ended = error == 0;
    if (ended) error = close_upload(&u);
  }
  if (error == 0) return send_empty(fd, ANS_OK);
  abort_upload(&u);
  if (!send_error(fd, error, u.what, path)) return false;
  return ended || discard_upload(fd, frame);
}
