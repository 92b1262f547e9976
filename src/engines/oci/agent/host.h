/* The verbs of this program that run on the host, outside any sandbox. */
#ifndef HOST_H
#define HOST_H

#define HOST_USAGE 64
#define HOST_FAILED 70

int host_launch(int argc, char **argv);
int host_userns(int argc, char **argv);

#endif
