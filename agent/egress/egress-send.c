/* The connection of the egress process to the relay on the host. */
#include "egress/egress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "process/process.h"

#define SEND_TRIES 200
#define SEND_WAIT_MS 5

struct egress egress = {.tcp_fd = -1, .dns_fd = -1, .pid = -1};

static int relay = -1;
static ino_t relay_inode;
static bool (*on_connect)(int fd);

void egress_on_connect(bool (*watch)(int fd)) { on_connect = watch; }

void egress_disconnect(void) {
  if (relay >= 0) close(relay);
  relay = -1;
}

/* True if the connection leads to the current listener: another server may have taken over the socket. */
static bool is_current(void) {
  struct stat st;
  if (fstatat(agent.dir_fd, "egress", &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
  bool same = relay >= 0 && st.st_ino == relay_inode;
  relay_inode = st.st_ino;
  return same;
}

static bool connect_relay(void) {
  if (is_current()) return true;
  egress_disconnect();
  relay = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (relay < 0) return false;
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "egress"};
  /* A relative name works wherever the directory is on the host; the working directory is restored at once. */
  bool connected = fchdir(agent.dir_fd) == 0 && connect(relay, (struct sockaddr *)&address, sizeof address) == 0;
  if (chdir("/") != 0) _exit(70);
  if (connected && on_connect(relay)) return true;
  egress_disconnect();
  return false;
}

/* True if it was sent; otherwise errno says why. */
static bool send_message(const struct msghdr *message) {
  for (int i = 0; i < SEND_TRIES; i++) {
    if (sendmsg(relay, message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    /* Too many messages, or descriptors of this user, are in flight. The relay receives them soon. */
    if (errno != EAGAIN && errno != EINTR && errno != ETOOMANYREFS) return false;
    struct pollfd writable = {.fd = relay, .events = POLLOUT};
    if (errno == ETOOMANYREFS) writable.events = 0;
    poll(&writable, 1, SEND_WAIT_MS);
  }
  return false;
}

bool egress_send(uint8_t type, const void *a, size_t a_len, const void *b, size_t b_len, int fd) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } ancillary = {0};
  struct iovec parts[3] = {{&type, 1}, {(void *)a, a_len}, {(void *)b, b_len}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
  if (fd >= 0) {
    message.msg_control = &ancillary;
    message.msg_controllen = CMSG_SPACE(sizeof(int));
    ancillary.header =
        (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&ancillary.header), &fd, sizeof fd);
  }
  /* Tried again when the relay has gone: another one may have taken its place. */
  for (int i = 0; i < 2; i++) {
    if (!connect_relay()) return false;
    if (send_message(&message)) return true;
    egress_disconnect();
  }
  return false;
}

ssize_t egress_receive(uint8_t *message, size_t size) {
  ssize_t n = relay < 0 ? 0 : recv(relay, message, size, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return -1;
  if (n > 0) return n;
  egress_disconnect();
  return -1;
}
