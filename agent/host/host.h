/* Room host: the verbs of this program that run on the host, outside any sandbox. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int host_deleted_files(int argc, char **argv);
int host_launch(int argc, char **argv);
int host_probe_mounts(int argc, char **argv);
int host_unpack(int argc, char **argv);
int host_userns(int argc, char **argv);
int host_whiteouts(int argc, char **argv);
int host_candidates(int argc, char **argv);
int host_upper(int argc, char **argv);

/* user-limits.c: lowers the limits of the user namespace of the process that the file names, where this user may. */
void limit_users(const char *pid_file);

/* unpack-content.c: the input of `agent unpack`, and the content of files. Functions return false with errno. */
bool read_input(void *to, size_t len);
/* Writes the next bytes of the input to a new file. */
bool write_input(int to, uint64_t size);
/* Copies the content of a file to a new one, without its holes. */
bool copy_content(int from, int to, uint64_t size);

/* mounts.c. Functions that return int return 0, or an exit code after printing what failed to standard error. */

/* Leaves the host's mount namespace: only this process and its children see later mounts. */
int unshare_mounts(void);
/* A user namespace with these ids that belongs to this user of the host, as a descriptor; -1 with errno. */
int create_userns(const char *base, const char *size, const char *owner);
/* The same with whole id maps (user_namespaces(7)), lines that end with newlines. */
int create_userns_with_maps(const char *uid_map, const char *gid_map, const char *owner);
/* One whose map leads from the ids on disk to those of the sandbox, for idmapped mounts of the state directory. */
int create_disk_userns(const char *disk_base, const char *base, const char *size, const char *owner);
/* Makes a namespace reachable by the path of an existing file. */
int bind_namespace(int namespace_fd, const char *target);
/* Mounts a directory of the host with the ids of the namespace. Without a target it only tries. */
int mount_idmapped(int userns_fd, const char *source, const char *target, bool writable);
/* A detached copy of the mount of an open directory, from this mount namespace; -1 with errno. */
int clone_tree(int directory_fd);
/* The same for such a copy, which it closes, and writable if asked for. */
int mount_idmapped_tree(int userns_fd, int tree, const char *target, bool writable);
/* `layers`: lowerdir, upperdir and workdir as overlay options; relative paths start at the working directory. */
int mount_overlay(const char *target, const char *layers);

#endif
