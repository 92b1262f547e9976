/* TREE_WRITE: receives a tree into a stage beside its place, and moves it in when all of it has come. */
#include "agent.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_MODE UINT64_MAX

/* A relative path of plain names: nothing in it leads upwards or elsewhere. */
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

static int take_entry(struct stage *s, struct frame *frame, char *failed) {
  char *path = NULL, *kind = NULL, *link = NULL;
  uint64_t mode = DEFAULT_MODE;
  const struct field wanted[] = {{TAG_ENTRY_PATH, FIELD_TEXT, true, &path},
                                 {TAG_KIND, FIELD_TEXT, true, &kind},
                                 {TAG_MODE, FIELD_NUMBER, false, &mode},
                                 {TAG_LINK, FIELD_TEXT, false, &link}};
  if (!fields_read(frame->body, frame->len, wanted, 4)) return EPROTO;
  bool is_kind = strlen(kind) == 1 && strchr("fdl", kind[0]) != NULL;
  s->what = "entry";
  snprintf(failed, PATH_MAX, "%s", path);
  if (strlen(path) >= PATH_MAX) return ENAMETOOLONG;
  if (!is_kind || !path_is_plain(path) || (kind[0] == 'l') != (link != NULL)) return EINVAL;
  if (mode == DEFAULT_MODE) mode = kind[0] == 'd' ? 0755 : 0644;
  const struct entry entry = {.path = path, .kind = kind[0], .mode = (mode_t)(mode & 07777), .link = link};
  return stage_entry(s, &entry);
}

/* Receives to the END. False: the connection is over. `*ended`: the END has come. */
static bool receive(int fd, struct frame *frame, struct stage *s, int *error, bool *ended, char *failed) {
  while (*error == 0) {
    enum got got = frame_read(fd, frame);
    if (got == GOT_CLOSED) return false;
    bool known = frame->type == ANS_END || frame->type == ANS_ENTRY || (frame->type == ANS_DATA && s->file >= 0);
    if (got == GOT_GARBAGE || !known) return garbage(fd);
    if (frame->type == ANS_DATA) {
      *error = stage_data(s, frame->body, frame->len);
      continue;
    }
    *error = stage_end_file(s);
    if (frame->type == ANS_END) {
      *ended = true;
      return true;
    }
    if (*error == 0) *error = take_entry(s, frame, failed);
    if (*error == EPROTO) return garbage(fd);
  }
  return true;
}

bool serve_tree_write(int fd, struct frame *frame) {
  static struct stage stage;
  static char path[PATH_MAX], failed[PATH_MAX];
  char *text = NULL;
  const struct field wanted[] = {{TAG_PATH, FIELD_TEXT, true, &text}};
  if (!fields_read(frame->body, frame->len, wanted, 1)) return garbage(fd);
  memset(&stage, 0, offsetof(struct stage, closed));
  stage.dir_fd = stage.parent_fd = stage.file = -1;
  stage.closed_len = 0;
  stage.files = stage.bytes = 0;
  failed[0] = 0;
  /* The frame's memory is used again for what follows. */
  bool fits = strlen(text) < sizeof path;
  snprintf(path, sizeof path, "%s", text);
  stage.what = "path";
  int error = fits ? stage_open(&stage, path) : ENAMETOOLONG;
  bool ended = false;
  if (error == 0 && !receive(fd, frame, &stage, &error, &ended, failed)) {
    stage_drop(&stage);
    return false;
  }
  if (error == 0) {
    failed[0] = 0;
    error = tree_place(&stage);
  }
  const char *what = stage.what;
  stage_drop(&stage);
  if (error == 0) {
    struct reply r;
    reply_begin(&r, ANS_OK);
    reply_number(&r, TAG_FILES, stage.files);
    reply_number(&r, TAG_BYTES, stage.bytes);
    return reply_send(fd, &r);
  }
  if (!send_error(fd, error, what, failed[0] != 0 ? failed : path)) return false;
  return ended || discard_upload(fd, frame);
}
