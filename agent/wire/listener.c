/* The listening socket of the agent and of each supervisor: `socket` in a directory of the host. */
#include "wire/wire.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_here(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  /* A relative name always fits into the 108 bytes of a socket address. */
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket.new"};
  if (unlink(address.sun_path) != 0 && errno != ENOENT) goto failed;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) goto failed;
  if (listen(fd, 128) != 0) goto failed;
  /* Renamed last: once the name exists, connecting works. */
  if (rename(address.sun_path, "socket") != 0) goto failed;
  return fd;
failed:;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int listen_at(int dir_fd) {
  if (fchdir(dir_fd) != 0) return -1;
  int fd = listen_here();
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
