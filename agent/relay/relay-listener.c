/*
 * The socket `egress` in the agent directory. Whoever binds it last has it; the one before may watch whoever has it now, and
 * learns when that one is gone. The sandbox may write to the directory: nothing in it is followed.
 */
#include "agent.h"
#include "relay/relay.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BACKLOG 64
#define ACCEPTS_A_TURN 16

static void listener_ready(struct source *source, uint32_t events);
static void successor_ready(struct source *source, uint32_t events);

static struct source listener = {.ready = listener_ready, .fd = -1};
static struct source successor = {.ready = successor_ready, .fd = -1};

static void listener_ready(struct source *source, uint32_t events) {
  (void)events;
  for (int i = 0; i < ACCEPTS_A_TURN; i++) {
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) break;
    carry_gate_accept(fd);
  }
  carry_watch(source, EPOLLIN);
}

/* Bound under another name, then renamed: there is always one that answers. */
static bool bind_in_place(int fd) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  uint64_t unique;
  if (getrandom(&unique, sizeof unique, 0) != (ssize_t)sizeof unique) return false;
  snprintf(address.sun_path, sizeof address.sun_path, ".egress.%016llx", (unsigned long long)unique);
  if (fchdir(CARRY_AGENT_DIR_FD) != 0) return false;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) return false;
  struct stat st;
  if (listen(fd, BACKLOG) == 0 && fstatat(CARRY_AGENT_DIR_FD, address.sun_path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
      renameat(CARRY_AGENT_DIR_FD, address.sun_path, CARRY_AGENT_DIR_FD, "egress") == 0) {
    uint8_t inode[8];
    store_u64(inode, st.st_ino);
    carry_tell(CARRY_READY, inode, sizeof inode, NULL, 0);
    return true;
  }
  int error = errno;
  unlinkat(CARRY_AGENT_DIR_FD, address.sun_path, 0);
  errno = error;
  return false;
}

void carry_listen(void) {
  struct source fresh = {.ready = listener_ready, .fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (fresh.fd < 0 || !bind_in_place(fresh.fd)) {
    int error = errno;
    if (fresh.fd >= 0) close(fresh.fd);
    carry_tell_number(CARRY_FAILED, (uint32_t)error);
    return;
  }
  carry_close(&successor);
  carry_close(&listener);
  listener = fresh;
  if (!carry_add(&listener, EPOLLIN)) _exit(70);
}

static void successor_ready(struct source *source, uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) == 0) {
    carry_watch(source, EPOLLRDHUP);
    return;
  }
  carry_close(source);
  carry_tell(CARRY_FREED, NULL, 0, NULL, 0);
}

/* Connected to by its descriptor: what lies at the name may be a link out of the directory the next moment. */
static int connect_successor(void) {
  char path[32];
  struct stat st;
  int place = openat(CARRY_AGENT_DIR_FD, "egress", O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (place < 0) return -1;
  int fd = -1;
  if (fstat(place, &st) == 0 && S_ISSOCK(st.st_mode)) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(path, sizeof path, "/proc/self/fd/%d", place);
    memcpy(address.sun_path, path, sizeof path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
      close(fd);
      fd = -1;
    }
  }
  close(place);
  return fd;
}

void carry_watch_successor(void) {
  carry_close(&successor);
  successor.fd = connect_successor();
  if (successor.fd >= 0 && carry_add(&successor, EPOLLRDHUP)) return;
  carry_close(&successor);
  carry_tell(CARRY_FREED, NULL, 0, NULL, 0);
}
