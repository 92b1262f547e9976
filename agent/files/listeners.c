/* LISTENERS: the TCP ports that programs listen on, with the programs of the sandbox's user. */
#include "files/files.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTENERS_MAX 256u
#define STATE_LISTEN 0x0a

struct tcp_listener {
  uint64_t inode;
  uint32_t port, pid;
  char program[32];
};

static struct tcp_listener listeners[LISTENERS_MAX];
static size_t count;

/*
 * Lines such as ` 0: 0100007F:1F90 00000000:0000 0A … inode …`. Listening sockets come first: the others, of which
 * there may be tens of thousands, are not read.
 */
static void read_table(const char *path, uint16_t own_port) {
  FILE *table = fopen(path, "re");
  if (table == NULL) return;
  char line[512];
  while (fgets(line, sizeof line, table) != NULL && count < LISTENERS_MAX) {
    unsigned port = 0, state = 0;
    unsigned long long inode = 0;
    const char *format = "%*s %*[^:]:%x %*[^:]:%*x %x %*s %*s %*s %*s %*s %llu";
    if (sscanf(line, format, &port, &state, &inode) != 3) continue; /* the heading */
    if (state != STATE_LISTEN) break;
    if (port == own_port) continue;
    listeners[count++] = (struct tcp_listener){.inode = inode, .port = port};
  }
  fclose(table);
}

static struct tcp_listener *find_inode(uint64_t inode) {
  for (size_t i = 0; i < count; i++) {
    if (listeners[i].inode == inode && listeners[i].pid == 0) return &listeners[i];
  }
  return NULL;
}

static void read_program(int proc_dir, struct tcp_listener *l) {
  int fd = openat(proc_dir, "comm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t n = read(fd, l->program, sizeof l->program - 1);
  close(fd);
  if (n <= 0) return;
  l->program[n] = 0;
  l->program[strcspn(l->program, "\n")] = 0;
}

/* Processes of other users cannot be looked into: their listeners stay without a program. */
static void read_process(int proc, const char *pid) {
  int dir_fd = openat(proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir_fd < 0) return;
  int fds = openat(dir_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fds < 0 ? NULL : fdopendir(fds);
  for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
    char link[64];
    unsigned long long inode = 0;
    ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);
    if (n <= 0) continue;
    link[n] = 0;
    if (sscanf(link, "socket:[%llu]", &inode) != 1) continue;
    struct tcp_listener *l = find_inode(inode);
    if (l == NULL) continue;
    l->pid = (uint32_t)strtoul(pid, NULL, 10);
    read_program(dir_fd, l);
  }
  if (dir != NULL)
    closedir(dir);
  else if (fds >= 0)
    close(fds);
  close(dir_fd);
}

bool serve_listeners(int fd, struct frame *frame, uint16_t own_port) {
  static struct record_stream s;
  if (frame->len != 0) return send_protocol_error(fd);
  count = 0;
  read_table("/proc/net/tcp", own_port);
  read_table("/proc/net/tcp6", own_port);
  DIR *proc = count == 0 ? NULL : opendir("/proc");
  for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
    if (isdigit((unsigned char)entry->d_name[0])) read_process(dirfd(proc), entry->d_name);
  }
  if (proc != NULL) closedir(proc);
  stream_begin(&s, fd);
  for (size_t i = 0; i < count; i++) {
    stream_u32(&s, listeners[i].port);
    stream_u32(&s, listeners[i].pid);
    stream_bytes(&s, listeners[i].program, strlen(listeners[i].program) + 1);
  }
  return stream_flush(&s) && send_empty(fd, ANS_END);
}
