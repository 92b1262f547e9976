/* The egress process: one event loop over the TCP and DNS listeners and the connection to the relay. */
#include "egress/egress.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "process/process.h"

#define EVENTS_MAX 64
#define RESTARTS_MAX 1000
/* Above the accounts of a sandbox, below `nobody`. */
#define FIRST_ID 2000u
#define LAST_ID 65533u

/* Their addresses identify what an event is for. */
static char tcp_mark, dns_mark, relay_mark;
static int epoll = -1;

static bool watch(int fd, void *mark) {
  struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = mark}};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool watch_relay(int fd) { return watch(fd, &relay_mark); }

static void receive_answer(void) {
  uint8_t message[1 + 4 + EGRESS_DATAGRAM_MAX];
  ssize_t len = egress_receive(message, sizeof message);
  if (len < 0) return;
  if (message[0] == EGRESS_DATAGRAM) {
    egress_dns_answer(message + 1, (size_t)len - 1);
  } else {
    egress_disconnect();
  }
}

/*
 * An id that nobody else has. Sandboxes share their ids on the host: one that keeps many descriptors in flight must not
 * use up those of the others.
 */
static uid_t own_id(void) {
  uint32_t random = 0;
  if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) random = (uint32_t)now_ms();
  return FIRST_ID + random % (LAST_ID - FIRST_ID + 1);
}

static _Noreturn void run(void) {
  const char *failed = NULL;
  /* Root inside, since the relay's socket is in root's directory, but without any capability. */
  if (!drop_privileges_as(own_id(), 0, 0, false, &failed)) _exit(70);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0 || !watch(egress.tcp_fd, &tcp_mark) || !watch(egress.dns_fd, &dns_mark)) _exit(70);
  egress_dns_begin();
  egress_on_connect(watch_relay);
  for (;;) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
    for (int i = 0; i < count; i++) {
      void *mark = events[i].data.ptr;
      if (mark == &tcp_mark) egress_tcp_accept();
      if (mark == &dns_mark) egress_dns_query();
      if (mark == &relay_mark) receive_answer();
    }
  }
}

/* `others` are descriptors of PID 1 only: if this process kept its listener open, PID 1 would seem to be alive. */
pid_t egress_start(void (*close_others)(void)) {
  /* A process that is killed over and over must not keep PID 1 busy: the sandbox then has no network. */
  if (!egress.enabled || egress.tcp_fd < 0 || egress.restarts++ > RESTARTS_MAX) return -1;
  egress.pid = fork();
  if (egress.pid == 0) {
    close_others();
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
