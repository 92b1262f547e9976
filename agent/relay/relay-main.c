/*
 * `agent carry`, on the host, a child of the server, one for each sandbox: takes over the connections that the agent inside
 * hands out and moves their bytes, so that the server decides and nothing passes through it. Descriptors: 3 control, 4 the
 * agent directory, 5 the directory of the server's socket `streams`. It runs as the sandbox's own root where the server is
 * root, without any capability, and ends with the server.
 */
#include "agent.h"
#include "relay/relay.h"
#include "host/host.h"

#include <stdio.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define EVENTS_MAX 64
#define DESCRIPTORS 4096

static int epoll = -1;

static bool control(int operation, struct source *source, uint32_t events) {
  struct epoll_event event = {.events = events | EPOLLONESHOT, .data = {.ptr = source}};
  if (epoll_ctl(epoll, operation, source->fd, &event) != 0) return false;
  source->watched = events;
  source->armed = true;
  return true;
}

bool carry_add(struct source *source, uint32_t events) { return control(EPOLL_CTL_ADD, source, events); }

bool carry_watch(struct source *source, uint32_t events) {
  if (source->armed ? source->watched == events : source->gone && events == 0) return true;
  return control(EPOLL_CTL_MOD, source, events);
}

void carry_close(struct source *source) {
  if (source->fd < 0) return;
  epoll_ctl(epoll, EPOLL_CTL_DEL, source->fd, NULL);
  close(source->fd);
  *source = (struct source){.ready = source->ready, .fd = -1};
}

/* No process, no file, no core; two descriptors for each connection and a few, as far as the hard limit goes. */
static void set_limits(void) {
  const struct rlimit none = {0, 0};
  const int closed[] = {RLIMIT_NPROC, RLIMIT_FSIZE, RLIMIT_CORE};
  for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++) setrlimit(closed[i], &none);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= DESCRIPTORS) return;
  files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
  setrlimit(RLIMIT_NOFILE, &files);
}

static bool give_up_privileges(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct none[2] = {{0}, {0}};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, none) == 0;
}

static int fail(const char *what) {
  fprintf(stderr, "carry: %s: %s\n", what, strerror(errno));
  return HOST_FAILED;
}

int host_carry(int argc, char **argv) {
  (void)argv;
  if (argc != 2) return HOST_USAGE;
  pid_t parent = getppid();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) return HOST_FAILED;
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail("undumpable");
  if (!give_up_privileges()) return fail("privileges");
  signal(SIGPIPE, SIG_IGN);
  umask(022);
  for (int fd = CARRY_CONTROL_FD; fd <= CARRY_STREAM_DIR_FD; fd++) {
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return fail("descriptors");
  }
  syscall(SYS_close_range, CARRY_STREAM_DIR_FD + 1u, ~0u, 0u);
  set_limits();
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return fail("epoll");
  if (!carry_control_begin()) return fail("control");
  for (;;) {
    struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(epoll, events, EVENTS_MAX, carry_totals_due());
    for (int i = 0; i < ready; i++) {
      struct source *source = events[i].data.ptr;
      if (source->fd < 0) continue; /* closed earlier in this turn */
      source->armed = false;
      if ((events[i].events & (EPOLLHUP | EPOLLERR)) != 0) source->gone = true;
      source->ready(source, events[i].events);
    }
    carry_turn_end();
  }
}
