/*
 * The owners of a sandbox: servers, each known by an open connection. The kernel closes the connection of a server that
 * dies in any way, and the sandbox ends with its last owner. A stopped server keeps its connection, and with it the
 * sandbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/init.h"
#include "process/process.h"

static struct {
  int listen_fd;
  int fds[OWNERS_MAX];
  size_t count;
} owners = {.listen_fd = -1};

bool owners_open(int first_fd, int listen_fd) {
  if (fcntl(first_fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(first_fd, F_SETFL, O_NONBLOCK) != 0) return false;
  owners.listen_fd = listen_fd;
  owners.fds[owners.count++] = first_fd;
  return true;
}

void owners_close(void) {
  if (owners.listen_fd >= 0) close(owners.listen_fd);
  owners.listen_fd = -1;
  while (owners.count > 0) close(owners.fds[--owners.count]);
}

size_t owners_watch(struct pollfd *p) {
  if (owners.listen_fd < 0) return 0;
  p[0] = (struct pollfd){.fd = owners.listen_fd, .events = POLLIN};
  for (size_t i = 0; i < owners.count; i++) p[i + 1] = (struct pollfd){.fd = owners.fds[i], .events = POLLIN};
  return owners.count + 1;
}

/* The answer says that the sandbox will not end before this owner. */
static void accept_owner(void) {
  struct reply r;
  reply_begin(&r, ANS_OK);
  reply_end(&r);
  int fd = accept_outside(owners.listen_fd);
  if (fd < 0) return;
  bool added = owners.count < OWNERS_MAX && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 &&
               send(fd, r.bytes, r.len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)r.len;
  if (added)
    owners.fds[owners.count++] = fd;
  else
    close(fd);
}

enum owner_state { OWNER_PRESENT, OWNER_ENDED, OWNER_RELEASES };

static enum owner_state owner_state(int fd) {
  uint8_t byte;
  ssize_t n = recv(fd, &byte, sizeof byte, 0);
  if (n > 0) return OWNER_RELEASES;
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return OWNER_PRESENT;
  return OWNER_ENDED;
}

bool owners_check(void) {
  if (owners.listen_fd < 0) return true;
  for (size_t i = 0; i < owners.count;) {
    enum owner_state state = owner_state(owners.fds[i]);
    if (state == OWNER_RELEASES) {
      (void)unlinkat(agent.dir_fd, OWNERS_SOCKET, 0);
      owners_close();
      return true;
    }
    if (state == OWNER_PRESENT) {
      i++;
      continue;
    }
    close(owners.fds[i]);
    owners.fds[i] = owners.fds[--owners.count];
  }
  /* Accept before deciding that the last owner has left: another one may have connected in time. */
  struct pollfd waiting = {.fd = owners.listen_fd, .events = POLLIN};
  for (int i = 0; i < OWNERS_MAX && poll(&waiting, 1, 0) > 0; i++) accept_owner();
  return owners.count > 0;
}
