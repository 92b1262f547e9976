/* Replacements in the driver for parts of the agent that must not really run. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/command.h"
#include "files/files.h"
#include "init/init.h"
#include "process/process.h"
#include "shell/shell.h"

extern unsigned commands, kills, sizes;
void feed_shell(int client);
void confine(const char *directory);
_Noreturn void die(const char *what);
