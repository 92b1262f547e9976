/* Signals every descendant of a process. Reads /proc, never forks: it has to work when nothing can be forked. */
#include "agent.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define PIDS_MAX 65536
#define PID_LIMIT 4194304 /* the kernel's own PID_MAX_LIMIT */
#define WALKS_MAX 64

/* Static and mostly untouched: a kill must not depend on memory that is to be had. */
static struct process {
  pid_t pid, parent;
  bool zombie;
} table[PIDS_MAX];
static size_t table_count;
static uint8_t in_tree[PID_LIMIT / 8], done[PID_LIMIT / 8];
static pid_t done_pids[PIDS_MAX];
static size_t done_count;
/* Since `tree_kill_begin`. The killed take a while to die: a round may well meet those of the one before. */
static uint8_t killed[PID_LIMIT / 8];
static pid_t killed_pids[PIDS_MAX];
static size_t killed_count;

static bool has(const uint8_t *set, pid_t pid) { return set[pid / 8] >> (pid % 8) & 1; }
static void add(uint8_t *set, pid_t pid) { set[pid / 8] |= (uint8_t)(1u << pid % 8); }
static void take(uint8_t *set, pid_t pid) { set[pid / 8] &= (uint8_t)~(1u << pid % 8); }

static bool read_process(pid_t pid, const char *name, struct process *out) {
  char path[32], text[512];
  size_t len = strlen(name);
  memcpy(path, name, len);
  memcpy(path + len, "/stat", 6);
  int fd = openat(agent.proc_fd, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return false;
  text[n] = 0;
  /* The name in brackets is the process's to choose and may hold brackets itself. */
  const char *end = strrchr(text, ')');
  if (end == NULL || end[1] != ' ' || end[2] == 0 || end[3] != ' ') return false;
  out->pid = pid;
  out->zombie = end[2] == 'Z' || end[2] == 'X';
  out->parent = (pid_t)strtol(end + 4, NULL, 10);
  return true;
}

/* One call of tree_signal. */
struct hunt {
  pid_t root;
  spare_fn spared;
  int sig;
  unsigned count;
  bool found_new;
};

/* True when the process is known to be in the tree by what has been read so far. */
static bool belongs(const struct hunt *h, const struct process *p) {
  if (p->parent <= 0 || p->parent >= PID_LIMIT || !has(in_tree, p->parent) || p->pid == h->root) return false;
  return p->parent != h->root || h->spared == NULL || !h->spared(p->pid);
}

static void hit(struct hunt *h, const struct process *p) {
  add(in_tree, p->pid);
  if (has(done, p->pid) || done_count == PIDS_MAX) return;
  add(done, p->pid);
  done_pids[done_count++] = p->pid;
  h->found_new = true;
  /* A zombie may be a thread group whose first thread alone has ended: the signal reaches the others. A process that
     is gone by now, or one that may not be signalled, is seen again by the next round if it matters. */
  if (kill(p->pid, h->sig) != 0 || p->zombie) return;
  h->count++;
  if (h->sig != SIGKILL || has(killed, p->pid) || killed_count == PIDS_MAX) return;
  add(killed, p->pid);
  killed_pids[killed_count++] = p->pid;
}

/* Signals as it reads: what is only listed has forked and gone before a whole list is complete. */
static void hunt_listed(struct hunt *h) {
  static union {
    char bytes[32768];
    uint64_t align;
  } names;
  table_count = 0;
  /* An open file of its own: the position of `proc_fd` is shared with every process of the agent. */
  int proc = openat(agent.proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return; /* nothing found: the caller's next round tries again */
  for (;;) {
    long n = syscall(SYS_getdents64, proc, names.bytes, sizeof names.bytes);
    if (n <= 0) break;
    for (long at = 0; at < n;) {
      struct dirent64 *entry = (struct dirent64 *)(void *)(names.bytes + at);
      at += entry->d_reclen;
      long pid = strtol(entry->d_name, NULL, 10);
      if (pid <= 0 || pid >= PID_LIMIT || strlen(entry->d_name) > 10 || table_count == PIDS_MAX) continue;
      struct process *p = &table[table_count];
      if (!read_process((pid_t)pid, entry->d_name, p)) continue;
      table_count++;
      if (belongs(h, p)) hit(h, p);
    }
  }
  close(proc);
}

/* One walk. Children whose number is lower than their parent's are found after the listing. */
static void walk(struct hunt *h) {
  h->found_new = false;
  add(in_tree, h->root);
  hunt_listed(h);
  for (bool grew = true; grew;) {
    grew = false;
    for (size_t i = 0; i < table_count; i++) {
      if (has(in_tree, table[i].pid) || !belongs(h, &table[i])) continue;
      hit(h, &table[i]);
      grew = true;
    }
  }
  for (size_t i = 0; i < table_count; i++) take(in_tree, table[i].pid);
  take(in_tree, h->root);
}

unsigned tree_signal(pid_t root, spare_fn spared, int sig) {
  struct hunt h = {.root = root, .spared = spared, .sig = sig, .found_new = true};
  /* A tree that outruns the walks is met again by the next round. */
  for (int i = 0; i < WALKS_MAX && h.found_new; i++) walk(&h);
  for (size_t i = 0; i < done_count; i++) take(done, done_pids[i]);
  done_count = 0;
  return h.count;
}

void tree_kill_begin(void) {
  for (size_t i = 0; i < killed_count; i++) take(killed, killed_pids[i]);
  killed_count = 0;
}

size_t tree_killed(void) { return killed_count; }

/* Stops the tree, so that nothing in it can fork away, then kills it. */
unsigned tree_kill_round(pid_t root, spare_fn spared) {
  unsigned count = tree_signal(root, spared, SIGSTOP);
  tree_signal(root, spared, SIGKILL);
  return count;
}
