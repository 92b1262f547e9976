/* Other processes: the agent, those of the host, and their resources. */
#include "attempt.h"

#include <ctype.h>
#include <dirent.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool holds(const char *path, const char *text) {
  static char content[1 << 18];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return false;
  ssize_t got = 0, n;
  while (got < (ssize_t)sizeof content && (n = read(fd, content + got, sizeof content - (size_t)got)) > 0) got += n;
  close(fd);
  return memmem(content, (size_t)got, text, strlen(text)) != NULL;
}

/* Searches a file of every visible process, e.g. for a word of the server's environment. */
static long search(const char *file, const char *text) {
  DIR *dir = opendir("/proc");
  if (dir == NULL) return -1;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/%s", entry->d_name, file);
    /* Its own arguments contain the text that is searched for. */
    if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != getpid() &&
        atoi(entry->d_name) != getppid() && holds(path, text)) {
      return say("FOUND");
    }
  }
  return say("NOT_FOUND");
}

static long more_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{0}, {0}};
  data[0].permitted = data[0].effective = 1u << CAP_SYS_ADMIN;
  return syscall(SYS_capset, &header, data);
}

static long spare_from_memory_killer(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY);
  return fd < 0 ? -1 : write(fd, "-999", 4);
}

static long through(const char *path) {
  struct stat st;
  return stat(path, &st);
}

static long forks(int count) {
  pid_t pids[4096];
  int made = 0, error = 0;
  for (; made < count && made < 4096; made++) {
    pids[made] = fork();
    if (pids[made] == 0) {
      pause();
      _exit(0);
    }
    if (pids[made] < 0) {
      error = errno;
      break;
    }
  }
  for (int i = 0; i < made; i++) kill(pids[i], SIGKILL);
  for (int i = 0; i < made; i++) waitpid(pids[i], NULL, 0);
  errno = error;
  return error == 0 ? 0 : -1;
}

/* Touches this many mebibytes; a killed process prints nothing. */
static long memory(int mib) {
  for (int i = 0; i < mib; i++) {
    char *page = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return -1;
    memset(page, 1, 1 << 20);
  }
  return 0;
}

static long same_host_name(const char *name) {
  char own[256] = "";
  if (gethostname(own, sizeof own - 1) != 0) return -1;
  return say(strcmp(own, name) == 0 ? "SAME" : "OTHER");
}

static long make_shared_memory(const char *key) { return shmget((key_t)atoi(key), 4096, IPC_CREAT | IPC_EXCL | 0666); }

static long remove_shared_memory(const char *key) {
  int id = shmget((key_t)atoi(key), 4096, 0);
  return id < 0 ? -1 : shmctl(id, IPC_RMID, NULL);
}

#define PROCESSES(X) \
  X(trace, ptrace(PTRACE_SEIZE, atoi(arg), NULL, NULL)) \
  X(through, through(arg)) \
  X(signal, kill(atoi(arg), 0)) \
  X(search_environments, search("environ", arg)) \
  X(search_command_lines, search("cmdline", arg)) \
  X(search_mounts, say(holds("/proc/self/mountinfo", arg) ? "FOUND" : "NOT_FOUND")) \
  X(search_cgroups, say(holds("/proc/self/cgroup", arg) ? "FOUND" : "NOT_FOUND")) \
  X(search_network, say(holds("/proc/net/unix", arg) ? "FOUND" : "NOT_FOUND")) \
  X(more_capabilities, more_capabilities()) \
  X(oom_score, spare_from_memory_killer()) \
  X(forks, forks(atoi(arg))) \
  X(memory, memory(atoi(arg))) \
  X(host_name, same_host_name(arg)) \
  X(shared_memory, shmget((key_t)atoi(arg), 1, 0)) \
  X(make_shared_memory, make_shared_memory(arg)) \
  X(remove_shared_memory, remove_shared_memory(arg)) \
  X(inherited, say(inherited_descriptors == 0 ? "NONE" : "SOME")) \
  X(effective_id, say(geteuid() == 0 ? "ROOT" : "USER"))

PROCESSES(DEFINE)
const struct attempt process_attempts[] = {PROCESSES(LIST){NULL, NULL}};
