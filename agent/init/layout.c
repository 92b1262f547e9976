/* Creates the directories that every sandbox has, unless the image has them. */
#include "init/init.h"

#include <sys/stat.h>
#include <unistd.h>

static bool ensure(const char *path, mode_t mode, bool owned, uid_t uid, gid_t gid) {
  if (mkdir(path, mode) != 0) {
    struct stat st;
    /* Whatever mkdir reports (EEXIST, EROFS), an existing directory is fine. */
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
  }
  /* mkdir applies the umask, and on some file systems drops the sticky bit. */
  return chmod(path, mode) == 0 && (!owned || chown(path, uid, gid) == 0);
}

bool create_layout(uid_t uid, gid_t gid, const char **failed) {
  static const struct {
    const char *path;
    mode_t mode;
    bool owned;
  } wanted[] = {
      {"/vercel", 0755, false},  {"/vercel/sandbox", 0755, true},
      {"/home", 0755, false},    {"/home/vercel-sandbox", 0755, true},
      {"/var", 0755, false},     {"/var/tmp", 01777, false},
      {"/var/log", 0755, false}, {"/var/cache", 0755, false},
      {"/var/lib", 0755, false},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
    if (ensure(wanted[i].path, wanted[i].mode, wanted[i].owned, uid, gid)) continue;
    *failed = wanted[i].path;
    return false;
  }
  return true;
}
