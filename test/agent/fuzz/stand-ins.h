/* What the driver puts in place of the parts of the agent that must not run for real. */
#include "../../../agent/agent.h"

extern unsigned commands, kills, sizes;
void feed_shell(int client);
void confine(const char *directory);
_Noreturn void die(const char *what);
