#include "relay/relay.h"

#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 64

static int epoll = -1;

static bool control(int operation, struct source *source, uint32_t events) {
  struct epoll_event event = {.events = events | EPOLLONESHOT, .data = {.ptr = source}};
  if (epoll_ctl(epoll, operation, source->fd, &event) != 0) return false;
  source->watched = events;
  source->armed = true;
  return true;
}

bool loop_open(void) {
  epoll = epoll_create1(EPOLL_CLOEXEC);
  return epoll >= 0;
}

bool loop_add(struct source *source, uint32_t events) { return control(EPOLL_CTL_ADD, source, events); }

bool loop_watch(struct source *source, uint32_t events) {
  if (source->armed ? source->watched == events : source->hung_up && events == 0) return true;
  return control(EPOLL_CTL_MOD, source, events);
}

void loop_close(struct source *source) {
  if (source->fd < 0) return;
  epoll_ctl(epoll, EPOLL_CTL_DEL, source->fd, NULL);
  close(source->fd);
  *source = (struct source){.ready = source->ready, .fd = -1};
}

void loop_turn(int timeout_ms) {
  struct epoll_event events[EVENTS_MAX];
  int ready = epoll_wait(epoll, events, EVENTS_MAX, timeout_ms);
  for (int i = 0; i < ready; i++) {
    struct source *source = events[i].data.ptr;
    if (source->fd < 0) continue; /* closed earlier in this turn */
    source->armed = false;
    if ((events[i].events & (EPOLLHUP | EPOLLERR)) != 0) source->hung_up = true;
    source->ready(source, events[i].events);
  }
}
