/*
 * Signals every descendant of a process. It reads /proc and never forks, so that it works when nothing can be forked.
 *
 * The kernel recycles pids: between reading where a process belongs and signalling it, its pid may pass to a process of
 * another command. So each process is opened as a pidfd, read again, and signalled through the pidfd.
 */
#include "process/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIDS_MAX 65536
#define PID_LIMIT 4194304 /* the kernel's own PID_MAX_LIMIT */
#define WALKS_MAX 64
#define FIELDS_TO_START_TIME 18 /* from `ppid`, field 4 of /proc/<pid>/stat, to `starttime`, field 22 */

/* Static and mostly untouched, so that killing does not depend on free memory. */
static struct process {
  pid_t pid, parent;
  uint32_t next; /* in the same bucket: index + 1, 0 ends the list */
  bool zombie, in_tree;
  uint64_t start_time;
} table[PIDS_MAX];
static size_t table_count;
static uint32_t buckets[PIDS_MAX]; /* by pid: index + 1 */

struct pid_set {
  uint8_t bits[PID_LIMIT / 8];
  pid_t pids[PIDS_MAX];
  size_t count;
};
static struct pid_set signalled; /* by the present call of signal_tree */
static struct pid_set killed;    /* since kill_tree_begin: killed processes take a while to die and are found again */

static bool has(const struct pid_set *set, pid_t pid) { return set->bits[pid / 8] >> (pid % 8) & 1; }

/* False if it was in the set already, or the set is full. */
static bool add(struct pid_set *set, pid_t pid) {
  if (has(set, pid) || set->count == PIDS_MAX) return false;
  set->bits[pid / 8] |= (uint8_t)(1u << pid % 8);
  set->pids[set->count++] = pid;
  return true;
}

static void clear(struct pid_set *set) {
  for (size_t i = 0; i < set->count; i++) set->bits[set->pids[i] / 8] = 0;
  set->count = 0;
}

static bool read_process(pid_t pid, struct process *out) {
  char path[32], text[512];
  size_t at = sizeof path - sizeof "/stat";
  memcpy(path + at, "/stat", sizeof "/stat");
  /* By hand: this runs for every process of the sandbox, several times while a fork bomb is being killed. */
  for (pid_t rest = pid; rest > 0; rest /= 10) path[--at] = (char)('0' + rest % 10);
  int fd = openat(agent.proc_fd, path + at, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return false;
  text[n] = 0;
  /* The process chooses its name, the text in brackets, which may hold brackets itself. */
  const char *end = strrchr(text, ')');
  if (end == NULL || end[1] != ' ' || end[2] == 0 || end[3] != ' ') return false;
  char *field = (char *)(uintptr_t)end + 4;
  *out = (struct process){
      .pid = pid, .zombie = end[2] == 'Z' || end[2] == 'X', .parent = (pid_t)strtol(field, &field, 10)};
  for (int i = 1; i < FIELDS_TO_START_TIME && field != NULL; i++) field = strchr(field + 1, ' ');
  if (field == NULL) return false;
  out->start_time = strtoull(field, NULL, 10);
  return true;
}

static struct process *find(pid_t pid) {
  uint32_t at = buckets[pid % PIDS_MAX];
  while (at != 0 && table[at - 1].pid != pid) at = table[at - 1].next;
  return at == 0 ? NULL : &table[at - 1];
}

/* One call of signal_tree. */
struct walk {
  pid_t root;
  exclude_fn exclude;
  int sig;
  unsigned count;
  bool found_new;
};

/* True when the process is known to be in the tree from what has been read so far. */
static bool belongs(const struct walk *w, const struct process *p) {
  if (p->parent <= 0 || p->pid == w->root) return false;
  if (p->parent == w->root) return w->exclude == NULL || !w->exclude(p->pid);
  const struct process *parent = find(p->parent);
  return parent != NULL && parent->in_tree;
}

/* Rereads the process, and its parent, whose pid may have been recycled too. */
static bool still_belongs(const struct walk *w, pid_t pid) {
  struct process now, parent;
  if (!read_process(pid, &now) || !belongs(w, &now)) return false;
  if (now.parent == w->root) return true;
  return read_process(now.parent, &parent) && parent.start_time == find(now.parent)->start_time;
}

static void signal_member(struct walk *w, struct process *p) {
  p->in_tree = true;
  if (has(&signalled, p->pid)) return;
  int pidfd = pidfd_open_process(p->pid);
  bool exited = pidfd < 0 && errno == ESRCH;
  /* In any case another walk is needed: its children may have moved to another parent. */
  w->found_new = true;
  if (exited || !still_belongs(w, p->pid)) {
    p->in_tree = false;
  } else if (add(&signalled, p->pid) && signal_process(pidfd, p->pid, w->sig) == 0 && !p->zombie) {
    /* A zombie is signalled, too: it may be the first thread of a process whose other threads still run. */
    w->count++;
    if (w->sig == SIGKILL) add(&killed, p->pid);
  }
  if (pidfd >= 0) close(pidfd);
}

/* Signals while it reads: a process of a fork bomb has forked and ended before a complete list exists. */
static void signal_listed(struct walk *w) {
  static union {
    char bytes[32768];
    uint64_t align;
  } names;
  /* Reopened: every process of the agent shares the file position of `proc_fd`. */
  int proc = openat(agent.proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return; /* the caller's next round tries again */
  for (;;) {
    long n = syscall(SYS_getdents64, proc, names.bytes, sizeof names.bytes);
    if (n <= 0) break;
    for (long at = 0; at < n;) {
      struct dirent64 *entry = (struct dirent64 *)(void *)(names.bytes + at);
      at += entry->d_reclen;
      long pid = strtol(entry->d_name, NULL, 10);
      if (pid <= 0 || pid >= PID_LIMIT || table_count == PIDS_MAX) continue;
      struct process *p = &table[table_count];
      if (!read_process((pid_t)pid, p)) continue;
      p->next = buckets[pid % PIDS_MAX];
      buckets[pid % PIDS_MAX] = (uint32_t)++table_count;
      if (belongs(w, p)) signal_member(w, p);
    }
  }
  close(proc);
}

static void walk_once(struct walk *w) {
  w->found_new = false;
  signal_listed(w);
  /* Children with a lower pid than their parent's were listed before it. */
  for (bool grew = true; grew;) {
    grew = false;
    for (size_t i = 0; i < table_count; i++) {
      if (table[i].in_tree || !belongs(w, &table[i])) continue;
      signal_member(w, &table[i]);
      grew = table[i].in_tree || grew;
    }
  }
  for (size_t i = 0; i < table_count; i++) buckets[table[i].pid % PIDS_MAX] = 0;
  table_count = 0;
}

unsigned signal_tree(pid_t root, exclude_fn exclude, int sig) {
  struct walk w = {.root = root, .exclude = exclude, .sig = sig, .found_new = true};
  /* If a tree forks faster than this can walk it, the caller's next round continues. */
  for (int i = 0; i < WALKS_MAX && w.found_new; i++) walk_once(&w);
  clear(&signalled);
  return w.count;
}

void kill_tree_begin(void) { clear(&killed); }

size_t kill_tree_count(void) { return killed.count; }

/* Stopped first, so that nothing in the tree can fork while it is being killed. */
unsigned kill_tree_round(pid_t root, exclude_fn exclude) {
  unsigned count = signal_tree(root, exclude, SIGSTOP);
  signal_tree(root, exclude, SIGKILL);
  return count;
}
