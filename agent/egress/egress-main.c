/* The process that hands what leaves the sandbox to the server's gateway: one loop over the listeners. */
#include "agent.h"
#include "egress/egress.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define EVENTS_MAX 64
#define RESTARTS_MAX 1000

struct egress egress = {.tcp_fd = -1, .dns_fd = -1, .pid = -1};

#define SEND_TRIES 200
#define SEND_WAIT_MS 5

/* Marks of what is ready. */
static char tcp_mark, dns_mark, gateway_mark;
static int epoll = -1, gateway = -1;
static ino_t gateway_inode;

static bool watch(int fd, void *mark) {
  struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = mark}};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void hang_up(void) {
  if (gateway >= 0) close(gateway);
  gateway = -1;
}

/* True where the connection leads to whoever listens now: another server may have taken the place over. */
static bool is_current(void) {
  struct stat st;
  if (fstatat(agent.dir_fd, "egress", &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
  bool same = gateway >= 0 && st.st_ino == gateway_inode;
  gateway_inode = st.st_ino;
  return same;
}

static bool connect_gateway(void) {
  if (is_current()) return true;
  hang_up();
  gateway = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (gateway < 0) return false;
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "egress"};
  /* A relative name reaches the directory wherever it lies on the host; nobody stays in it. */
  bool connected = fchdir(agent.dir_fd) == 0 && connect(gateway, (struct sockaddr *)&address, sizeof address) == 0;
  if (chdir("/") != 0) _exit(70);
  if (connected && watch(gateway, &gateway_mark)) return true;
  hang_up();
  return false;
}

/* True where it was sent; else errno tells. */
static bool send_message(const struct msghdr *message) {
  for (int i = 0; i < SEND_TRIES; i++) {
    if (sendmsg(gateway, message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    /* Too much on its way already (of descriptors: of this user, wherever): the carrier takes it off in no time. */
    if (errno != EAGAIN && errno != EINTR && errno != ETOOMANYREFS) return false;
    struct pollfd room = {.fd = gateway, .events = POLLOUT};
    if (errno == ETOOMANYREFS) room.events = 0;
    poll(&room, 1, SEND_WAIT_MS);
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
    ancillary.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&ancillary.header), &fd, sizeof fd);
  }
  /* Once more where the carrier that was there has gone: another may be in its place. */
  for (int i = 0; i < 2; i++) {
    if (!connect_gateway()) return false;
    if (send_message(&message)) return true;
    hang_up();
  }
  return false;
}

static void take_answer(void) {
  uint8_t message[1 + 4 + EGRESS_DATAGRAM_MAX];
  ssize_t got = gateway < 0 ? 0 : recv(gateway, message, sizeof message, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0 || message[0] != EGRESS_DATAGRAM) {
    hang_up();
    return;
  }
  egress_dns_answer(message + 1, (size_t)got - 1);
}

static _Noreturn void run(void) {
  const char *failed = NULL;
  /* Root inside, whose directory the gateway's socket is in, but without any capability. */
  if (!drop_privileges(0, 0, false, &failed)) _exit(70);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0 || !watch(egress.tcp_fd, &tcp_mark) || !watch(egress.dns_fd, &dns_mark)) _exit(70);
  egress_dns_begin();
  for (;;) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
    for (int i = 0; i < count; i++) {
      void *mark = events[i].data.ptr;
      if (mark == &tcp_mark) egress_tcp_accept();
      if (mark == &dns_mark) egress_dns_query();
      if (mark == &gateway_mark) take_answer();
    }
  }
}

/* `others` are descriptors of PID 1 alone: a listener that this process kept would seem alive when PID 1 has ended. */
pid_t egress_start(const int *others, size_t count) {
  /* Whatever kills it over and over again would keep PID 1 busy: then the sandbox stays without network. */
  if (!agent.egress || egress.tcp_fd < 0 || egress.restarts++ > RESTARTS_MAX) return -1;
  egress.pid = fork();
  if (egress.pid == 0) {
    for (size_t i = 0; i < count; i++) close(others[i]);
    run();
  }
  return egress.pid;
}

void egress_close_listeners(void) {
  if (egress.tcp_fd < 0) return;
  close(egress.tcp_fd);
  close(egress.dns_fd);
  egress.tcp_fd = egress.dns_fd = -1;
}
