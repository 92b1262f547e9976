#include "process/process.h"

struct agent agent = {.dir_fd = -1, .proc_fd = -1};
