/*
 * The socket `egress` in the agent directory. The last relay to bind it owns it; the one before can watch its successor
 * and learn when it ends. The sandbox can write to the directory, so nothing in it is followed.
 */
#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#define BACKLOG 64
#define ACCEPTS_PER_TURN 16

static void listener_ready(struct source *source, uint32_t events);
static void successor_ready(struct source *source, uint32_t events);

static struct source listener = {.ready = listener_ready, .fd = -1};
static struct source successor = {.ready = successor_ready, .fd = -1};

static void listener_ready(struct source *source, uint32_t events) {
  (void)events;
  for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) break;
    intake_add_peer(fd);
  }
  loop_watch(source, EPOLLIN);
}

/* Bound under another name, then renamed, so that there is always a listener. */
static bool bind_in_place(int fd) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  uint64_t unique;
  if (getrandom(&unique, sizeof unique, 0) != (ssize_t)sizeof unique) return false;
  snprintf(address.sun_path, sizeof address.sun_path, ".egress.%016llx", (unsigned long long)unique);
  if (fchdir(AGENT_DIR_FD) != 0) return false;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) return false;
  struct stat st;
  if (listen(fd, BACKLOG) == 0 && fstatat(AGENT_DIR_FD, address.sun_path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
      renameat(AGENT_DIR_FD, address.sun_path, AGENT_DIR_FD, "egress") == 0) {
    uint8_t inode[8];
    store_u64(inode, st.st_ino);
    notify(RELAY_LISTENING, inode, sizeof inode, NULL, 0);
    return true;
  }
  int error = errno;
  unlinkat(AGENT_DIR_FD, address.sun_path, 0);
  errno = error;
  return false;
}

void listener_open(void) {
  struct source fresh = {.ready = listener_ready,
                         .fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (fresh.fd < 0 || !bind_in_place(fresh.fd)) {
    int error = errno;
    if (fresh.fd >= 0) close(fresh.fd);
    notify_number(RELAY_LISTEN_FAILED, (uint32_t)error);
    return;
  }
  loop_close(&successor);
  loop_close(&listener);
  listener = fresh;
  if (!loop_add(&listener, EPOLLIN)) _exit(EX_SOFTWARE);
}

static void successor_ready(struct source *source, uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) == 0) {
    loop_watch(source, EPOLLRDHUP);
    return;
  }
  loop_close(source);
  notify(RELAY_SUCCESSOR_EXITED, NULL, 0, NULL, 0);
}

/* Connects through a descriptor: a name in the directory could become a link that leads out of it at any time. */
static int connect_successor(void) {
  char path[32];
  struct stat st;
  int path_fd = openat(AGENT_DIR_FD, "egress", O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (path_fd < 0) return -1;
  int fd = -1;
  if (fstat(path_fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(path, sizeof path, "/proc/self/fd/%d", path_fd);
    memcpy(address.sun_path, path, sizeof path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
      close(fd);
      fd = -1;
    }
  }
  close(path_fd);
  return fd;
}

void listener_watch_successor(void) {
  loop_close(&successor);
  successor.fd = connect_successor();
  if (successor.fd >= 0 && loop_add(&successor, EPOLLRDHUP)) return;
  loop_close(&successor);
  notify(RELAY_SUCCESSOR_EXITED, NULL, 0, NULL, 0);
}
