/*
 * The connections of a command's clients. Events describe a state instead of queueing up, so that a slow client costs
 * no memory and delays nobody.
 */
#include "command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 64u
#define OUT_MAX 256u

struct client {
  int fd; /* -1: the slot is free */
  bool attached, want_started, want_output, want_exit, exit_sent;
  unsigned kills_done;    /* KILL requests to answer now */
  unsigned kills_pending; /* KILL requests to answer once no process is left */
  unsigned signalled;
  int error; /* why a request was refused */
  uint32_t in_len, out_len, out_sent;
  uint8_t in[FRAME_HEADER + REQUEST_MAX];
  uint8_t out[OUT_MAX];
};
static struct client clients[CLIENTS_MAX];
static size_t client_count;

static struct client *add_client(int fd) {
  struct client *c = &clients[client_count++];
  memset(c, 0, sizeof *c);
  c->fd = fd;
  return c;
}

static void remove_client(struct client *c) {
  close(c->fd);
  c->fd = -1;
}

bool clients_start(int first) {
  if (fcntl(first, F_SETFL, O_NONBLOCK) != 0) return false;
  add_client(first)->attached = true;
  return true;
}

size_t clients_poll(struct pollfd *out) {
  size_t kept = 0;
  for (size_t i = 0; i < client_count; i++) {
    if (clients[i].fd < 0) continue;
    if (kept != i) clients[kept] = clients[i];
    struct client *c = &clients[kept];
    short events = c->out_len > c->out_sent ? POLLIN | POLLOUT : POLLIN;
    out[kept++] = (struct pollfd){.fd = c->fd, .events = events};
  }
  client_count = kept;
  return kept;
}

void clients_accept(struct supervisor *s) {
  for (;;) {
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (!peer_is_outside(fd)) {
      close(fd);
    } else if (client_count == CLIENTS_MAX) {
      send_error(fd, EAGAIN, "clients", NULL);
      close(fd);
    } else {
      add_client(fd);
    }
  }
}

static void take_kill(struct supervisor *s, struct client *c, uint8_t *body, uint32_t len) {
  uint64_t sig = 0, cause = CAUSE_KILLED;
  const struct field wanted[] = {{TAG_SIGNAL, FIELD_NUMBER, true, &sig}, {TAG_CAUSE, FIELD_NUMBER, false, &cause}};
  if (!fields_read(body, len, wanted, 2)) {
    c->error = EPROTO;
    return;
  }
  if (sig < 1 || sig > 64 || cause < CAUSE_KILLED || cause > CAUSE_SESSION_END) {
    c->error = EINVAL;
    return;
  }
  request_termination(s, (int)cause, (int)sig);
  if (sig == SIGKILL) {
    c->kills_pending++;
    start_kill(s);
    return;
  }
  c->signalled = signal_tree(getpid(), NULL, (int)sig);
  c->kills_done++;
}

static void take_attach(const struct supervisor *s, struct client *c, uint32_t len) {
  if (len != 0) {
    c->error = EPROTO;
    return;
  }
  c->attached = true;
  c->want_output = !s->finished && s->announced > 0;
  c->want_exit = s->exit_saved;
}

static void take_requests(struct supervisor *s, struct client *c) {
  while (c->error == 0 && c->in_len >= FRAME_HEADER) {
    uint32_t len = load_u32(c->in);
    uint8_t type = c->in[4];
    if (len > REQUEST_MAX || (type != REQ_KILL && type != REQ_ATTACH)) {
      c->error = EPROTO;
      return;
    }
    if (c->in_len < FRAME_HEADER + len) return;
    if (type == REQ_KILL) {
      take_kill(s, c, c->in + FRAME_HEADER, len);
    } else {
      take_attach(s, c, len);
    }
    c->in_len -= FRAME_HEADER + len;
    memmove(c->in, c->in + FRAME_HEADER + len, c->in_len);
  }
}

void clients_serve(struct supervisor *s, const struct pollfd *polled, size_t count) {
  for (size_t i = 0; i < count; i++) {
    struct client *c = &clients[i];
    if (c->fd < 0 || (polled[i].revents & ~POLLOUT) == 0) continue;
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) {
      remove_client(c);
      continue;
    }
    c->in_len += (uint32_t)n;
    take_requests(s, c);
  }
}

void clients_notify_started(void) {
  for (size_t i = 0; i < client_count; i++) clients[i].want_started = clients[i].attached;
}

void clients_notify_output(void) {
  for (size_t i = 0; i < client_count; i++) clients[i].want_output = clients[i].attached && !clients[i].exit_sent;
}

void clients_notify_exit(void) {
  for (size_t i = 0; i < client_count; i++) {
    clients[i].want_exit = clients[i].attached;
    clients[i].want_output = false;
  }
}

void clients_answer_kills(unsigned signalled) {
  for (size_t i = 0; i < client_count; i++) {
    struct client *c = &clients[i];
    if (c->kills_pending > 0) c->signalled = signalled;
    c->kills_done += c->kills_pending;
    c->kills_pending = 0;
  }
}

/* Writes the next event for this client; false if there is none. */
static bool compose(const struct supervisor *s, struct client *c) {
  struct reply r;
  if (c->want_started) {
    c->want_started = false;
    reply_begin(&r, ANS_STARTED);
  } else if (c->want_output && s->started) {
    c->want_output = false;
    reply_begin(&r, ANS_OUTPUT);
    reply_number(&r, TAG_STDOUT_SO_FAR, s->log.total[0]);
    reply_number(&r, TAG_STDERR_SO_FAR, s->log.total[1]);
  } else if (c->want_exit && s->started) {
    c->want_exit = false;
    c->exit_sent = true;
    exit_status_reply(s, &r);
  } else if (c->kills_done > 0) {
    c->kills_done--;
    reply_begin(&r, ANS_OK);
    reply_number(&r, TAG_SIGNALLED, c->signalled);
  } else {
    return false;
  }
  reply_end(&r);
  memcpy(c->out, r.bytes, r.len);
  c->out_len = (uint32_t)r.len;
  c->out_sent = 0;
  return true;
}

static void flush(const struct supervisor *s, struct client *c) {
  while (c->out_len > c->out_sent || compose(s, c)) {
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) {
      remove_client(c);
      return;
    }
    c->out_sent += (uint32_t)n;
  }
  if (c->error == 0) return;
  bool sent = send_error(c->fd, c->error, c->error == EPROTO ? "frame" : "kill", NULL);
  bool close_it = c->error == EPROTO || !sent;
  c->error = 0;
  if (close_it) remove_client(c);
}

bool clients_flush(const struct supervisor *s) {
  bool all = true;
  for (size_t i = 0; i < client_count; i++) {
    if (clients[i].fd >= 0) flush(s, &clients[i]);
    if (clients[i].fd >= 0 && clients[i].out_len > clients[i].out_sent) all = false;
  }
  return all;
}
