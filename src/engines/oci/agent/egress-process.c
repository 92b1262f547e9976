/* The process that hands what leaves the sandbox to the server's gateway: one loop over every connection and query. */
#include "agent.h"
#include "egress.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define EVENTS_MAX 64
#define RESTARTS_MAX 1000

struct egress egress = {.tcp_fd = -1, .dns_fd = -1, .pid = -1};

/* Marks of what is ready beside the ends of connections. */
static char tcp_mark, dns_mark, gateway_mark;

int egress_connect(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "egress"};
  /* A relative name reaches the directory wherever it lies on the host; nobody stays in it. */
  bool connected = fchdir(agent.dir_fd) == 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  if (chdir("/") != 0) _exit(70);
  if (connected) return fd;
  close(fd);
  return -1;
}

/* False where the socket did not take the whole frame: the connection is of no use any more. */
bool egress_send_frame(int fd, uint8_t type, const void *a, size_t a_len, const void *b, size_t b_len) {
  uint8_t bytes[FRAME_HEADER + 8 + EGRESS_DATAGRAM_MAX];
  size_t len = FRAME_HEADER + a_len + b_len;
  if (len > sizeof bytes) return false;
  store_u32(bytes, (uint32_t)(a_len + b_len));
  bytes[4] = type;
  if (a_len > 0) memcpy(bytes + FRAME_HEADER, a, a_len);
  if (b_len > 0) memcpy(bytes + FRAME_HEADER + a_len, b, b_len);
  return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool watch(int epoll_fd, int fd, void *mark) {
  struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = mark}};
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static _Noreturn void run(void) {
  const char *failed = NULL;
  /* Root inside, whose directory the gateway's socket is in, but without any capability. */
  if (!drop_privileges(0, 0, false, &failed)) _exit(70);
  int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0 || !watch(epoll_fd, egress.tcp_fd, &tcp_mark) || !watch(epoll_fd, egress.dns_fd, &dns_mark)) {
    _exit(70);
  }
  egress_tcp_begin(epoll_fd);
  egress_dns_begin(epoll_fd, &gateway_mark);
  for (;;) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
    for (int i = 0; i < count; i++) {
      void *mark = events[i].data.ptr;
      if (mark == &tcp_mark) {
        egress_tcp_accept();
      } else if (mark == &dns_mark) {
        egress_dns_query();
      } else if (mark == &gateway_mark) {
        egress_dns_answer();
      } else {
        egress_tcp_event(mark, events[i].events);
      }
    }
    /* Only now: a later event of the same turn may still name a connection that an earlier one has ended. */
    egress_tcp_turn_end();
  }
}

pid_t egress_start(void) {
  /* Whatever kills it over and over again would keep PID 1 busy: then the sandbox stays without network. */
  if (!agent.egress || egress.tcp_fd < 0 || egress.restarts++ > RESTARTS_MAX) return -1;
  egress.pid = fork();
  if (egress.pid == 0) run();
  return egress.pid;
}

void egress_close_listeners(void) {
  if (egress.tcp_fd < 0) return;
  close(egress.tcp_fd);
  close(egress.dns_fd);
  egress.tcp_fd = egress.dns_fd = -1;
}
