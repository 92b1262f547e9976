/* Room files: file and tree requests. All of it runs as the sandbox's user, without capabilities. */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "wire/wire.h"

#define SYMLINKS_MAX 40
#define DEPTH_MAX 200
#define NO_TIME UINT64_MAX

/* files.c, file-write.c, tree-read.c, tree-write.c, list.c, scan.c, listeners.c: one function a request. False: the connection is over. */
bool serve_stat(int fd, struct frame *frame);
bool serve_mkdir(int fd, struct frame *frame);
bool serve_read(int fd, struct frame *frame);
bool serve_write(int fd, struct frame *frame);
bool serve_tree_read(int fd, struct frame *frame);
bool serve_tree_write(int fd, struct frame *frame);
bool serve_list(int fd, struct frame *frame);
bool serve_scan(int fd, struct frame *frame);
/* `own_port` is the agent's listener for the sandbox's connections, which is not reported; 0: none. */
bool serve_listeners(int fd, struct frame *frame, uint16_t own_port);

/* path.c: the functions that return int return 0 or an errno */
bool path_is_absolute(const char *path);
int make_parents(const char *path);
int make_directories(const char *path);
int resolve_links(const char *path, char *out, size_t size, struct stat *st); /* st_mode 0: nothing exists there */
void temporary_name(const char *path, char *out, size_t size); /* in the same directory; empty when too long */
char file_kind(mode_t mode);
uint64_t file_mtime_ms(const struct stat *st); /* 0 for times before 1970 */

/* file-io.c */
int open_regular(int dir_fd, const char *name, int extra_flags, struct stat *st, const char **what);
void enlarge_send_buffer(int fd);
bool send_file(int fd, int file, uint64_t limit, int *error);
bool discard_upload(int fd, struct frame *frame);

/* record-stream.c: many small records in DATA frames; `open` turns false when the connection is over */
struct record_stream {
  int fd;
  bool open;
  size_t len;
  uint8_t bytes[DATA_MAX];
};
void stream_begin(struct record_stream *s, int fd);
void stream_bytes(struct record_stream *s, const void *data, size_t len);
void stream_u8(struct record_stream *s, uint8_t value);
void stream_u32(struct record_stream *s, uint32_t value);
void stream_u64(struct record_stream *s, uint64_t value);
bool stream_flush(struct record_stream *s);

/* remove-tree.c */
void remove_tree(int dir_fd, const char *name, int depth);

/* tree-stage.c, tree-commit.c: a tree is received into a staging directory, then moved to its target */
struct entry {
  const char *path; /* relative, checked */
  char kind;
  mode_t mode;
  uint64_t mtime_ms; /* NO_TIME: the time of writing */
  const char *link;
};
/* Follows the path of a directory in `modes`, which is read from its end: children before their parents. */
struct mode_record {
  mode_t mode;
  uint16_t path_len;
};
struct staging {
  char target[4096], path[4096]; /* where the tree goes, and the staging directory */
  int dir_fd;
  char root_kind; /* 0 until the root's entry has come */
  mode_t target_mode;
  int parent_fd; /* of the last entry, since most entries share it */
  char parent_path[4096];
  int file; /* that DATA is written to, or -1 */
  mode_t file_mode;
  uint64_t file_mtime_ms;
  FILE *times; /* of directories, to be set once nothing is added to them any more; NULL while there are none */
  FILE *modes; /* of directories that their owner cannot write to, to be set once everything is in place; or NULL */
  uint64_t files, bytes;
  const char *what;
};
int staging_open(struct staging *s, const char *path);
int staging_add(struct staging *s, const struct entry *entry);
int staging_write(struct staging *s, const uint8_t *data, size_t len);
int staging_end_file(struct staging *s);
int staging_set_times(struct staging *s); /* after the last entry */
void staging_discard(struct staging *s);
int staging_commit(struct staging *s);

#endif
