/* The relay alone, built with sanitizers for its tests, without the rest of the agent. */
#include "relay/relay.h"

int main(int argc, char **argv) { return relay_main(argc, argv); }
