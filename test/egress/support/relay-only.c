/* The relay alone: its tests build it with sanitizers, without the rest of the agent. */
#include "relay/relay.h"

int main(int argc, char **argv) { return relay_main(argc, argv); }
