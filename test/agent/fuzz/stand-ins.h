/* What the driver puts in place of the parts of the agent that must not run for real. */
#include "../../../src/engines/oci/agent/agent.h"

extern unsigned commands, kills;
_Noreturn void die(const char *what);
