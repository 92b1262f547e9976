/* TREE_WRITE: receives a tree into a staging directory and moves it to its target once it is complete. */
#include "files/files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_MODE UINT64_MAX
#define MTIME_MAX_MS ((uint64_t)1 << 53)

/* A relative path of plain names, without anything that leads up or elsewhere. */
static bool path_is_plain(const char *path) {
  int depth = 0;
  if (path[0] == 0) return true;
  for (const char *name = path;; depth++) {
    size_t len = strcspn(name, "/");
    bool dots = (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.');
    if (len == 0 || len > NAME_MAX || dots || depth == DEPTH_MAX) return false;
    if (name[len] == 0) return true;
    name += len + 1;
  }
}

static int take_entry(struct staging *s, struct frame *frame, char *failed) {
  char *path = NULL, *kind = NULL, *link = NULL;
  uint64_t mode = DEFAULT_MODE, mtime_ms = NO_TIME;
  const struct field wanted[] = {{TAG_ENTRY_PATH, FIELD_STRING, true, &path},
                                 {TAG_KIND, FIELD_STRING, true, &kind},
                                 {TAG_MODE, FIELD_NUMBER, false, &mode},
                                 {TAG_MTIME_MS, FIELD_NUMBER, false, &mtime_ms},
                                 {TAG_LINK, FIELD_STRING, false, &link}};
  if (!fields_read(frame->body, frame->len, wanted, 5)) return EPROTO;
  bool is_kind = strlen(kind) == 1 && strchr("fdl", kind[0]) != NULL;
  s->what = "entry";
  snprintf(failed, PATH_MAX, "%s", path);
  if (strlen(path) >= PATH_MAX) return ENAMETOOLONG;
  if (!is_kind || !path_is_plain(path) || (kind[0] == 'l') != (link != NULL)) return EINVAL;
  if (mode == DEFAULT_MODE) mode = kind[0] == 'd' ? 0755 : 0644;
  if (mtime_ms != NO_TIME && mtime_ms > MTIME_MAX_MS) return EINVAL;
  const struct entry entry = {
      .path = path, .kind = kind[0], .mode = (mode_t)(mode & 07777), .mtime_ms = mtime_ms, .link = link};
  return staging_add(s, &entry);
}

/* Receives up to END. False: the connection is over. `*ended`: END was received. */
static bool receive(int fd, struct frame *frame, struct staging *s, int *error, bool *ended, char *failed) {
  while (*error == 0) {
    enum frame_result got = frame_read(fd, frame);
    if (got == FRAME_CLOSED) return false;
    bool known = frame->type == ANS_END || frame->type == ANS_ENTRY || (frame->type == ANS_DATA && s->file >= 0);
    if (got == FRAME_INVALID || !known) return send_protocol_error(fd);
    if (frame->type == ANS_DATA) {
      *error = staging_write(s, frame->body, frame->len);
      continue;
    }
    *error = staging_end_file(s);
    if (frame->type == ANS_END) {
      *ended = true;
      return true;
    }
    if (*error == 0) *error = take_entry(s, frame, failed);
    if (*error == EPROTO) return send_protocol_error(fd);
  }
  return true;
}

bool serve_tree_write(int fd, struct frame *frame) {
  static struct staging staging;
  static char path[PATH_MAX], failed[PATH_MAX];
  char *text = NULL;
  const struct field wanted[] = {{TAG_PATH, FIELD_STRING, true, &text}};
  if (!fields_read(frame->body, frame->len, wanted, 1)) return send_protocol_error(fd);
  memset(&staging, 0, sizeof staging);
  staging.dir_fd = staging.parent_fd = staging.file = -1;
  failed[0] = 0;
  /* Copied: the frames that follow reuse this frame's memory. */
  bool fits = strlen(text) < sizeof path;
  snprintf(path, sizeof path, "%s", text);
  staging.what = "path";
  int error = fits ? staging_open(&staging, path) : ENAMETOOLONG;
  bool ended = false;
  if (error == 0 && !receive(fd, frame, &staging, &error, &ended, failed)) {
    staging_discard(&staging);
    return false;
  }
  if (error == 0) {
    failed[0] = 0;
    error = staging_set_times(&staging);
  }
  if (error == 0) {
    error = staging_commit(&staging);
  }
  const char *what = staging.what;
  staging_discard(&staging);
  if (error == 0) {
    struct reply r;
    reply_begin(&r, ANS_OK);
    reply_number(&r, TAG_FILES, staging.files);
    reply_number(&r, TAG_BYTES, staging.bytes);
    return reply_send(fd, &r);
  }
  if (!send_error(fd, error, what, failed[0] != 0 ? failed : path)) return false;
  return ended || discard_upload(fd, frame);
}
