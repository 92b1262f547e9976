/* The verbs of this program that run on the host, outside any sandbox. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>

#define HOST_USAGE 64
#define HOST_FAILED 70

int host_launch(int argc, char **argv);
int host_probe_mounts(int argc, char **argv);
int host_unpack(int argc, char **argv);
int host_userns(int argc, char **argv);
int host_carry(int argc, char **argv); /* carry-main.c */

/* The helpers below answer 0, or the exit code after they have said on standard error what failed. */

/* Leaves the mount namespace of the host: what is mounted from here on is seen by this process and its children alone. */
int private_mounts(void);
/* A user namespace of these ids, as a descriptor, or -1 with errno. */
int sandbox_userns(const char *base, const char *size);
/* Mounts a directory of the host with the ids of the namespace; without a target it is only tried. */
int map_directory(int userns_fd, const char *source, const char *target);
/* `layers`: lowerdir, upperdir and workdir as overlay options; relative paths start at the working directory. */
int mount_overlay(const char *target, const char *layers);

#endif
