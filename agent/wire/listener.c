/* Listening sockets in a directory of the host: those of the agent and of each supervisor. */
#include "wire/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_MS 10
/* Many calls and connections to ports may begin at once. The kernel lowers it to net.core.somaxconn. */
#define BACKLOG 1024

static int listen_here(const char *name) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  /* A relative name always fits into the 108 bytes of a socket address. */
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket.new"};
  if (unlink(address.sun_path) != 0 && errno != ENOENT) goto failed;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) goto failed;
  if (listen(fd, BACKLOG) != 0) goto failed;
  /* Renamed last: once the name exists, connecting works. */
  if (rename(address.sun_path, name) != 0) goto failed;
  return fd;
failed:;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int listen_at(int dir_fd, const char *name) {
  if (fchdir(dir_fd) != 0) return -1;
  int fd = listen_here(name);
  int error = errno;
  /* No process of the agent may keep a working directory on the host. */
  if (chdir("/") != 0) {
    if (fd >= 0) close(fd);
    return -1;
  }
  errno = error;
  return fd;
}

/* SO_PEERCRED translates the pid into this pid namespace; a process outside of it has none, which reads as 0. */
bool peer_is_outside(int fd) {
  struct ucred peer;
  socklen_t len = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && len == sizeof peer && peer.pid == 0;
}

int accept_outside(int listen_fd) {
  int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) {
    /* Out of descriptors or memory: a pause keeps the caller's loop from spinning on a listener that stays readable. */
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) poll(NULL, 0, PAUSE_MS);
    return -1;
  }
  if (peer_is_outside(fd)) return fd;
  close(fd);
  return -1;
}

bool peer_has_left(int fd) {
  struct pollfd peer = {.fd = fd, .events = POLLRDHUP};
  return poll(&peer, 1, 0) == 1 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
