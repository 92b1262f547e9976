#include <string.h>

#include "host/host.h"
#include "init/init.h"
#include "relay/relay.h"

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "launch") == 0) return host_launch(argc, argv);
  if (argc > 1 && strcmp(argv[1], "probe-mounts") == 0) return host_probe_mounts(argc, argv);
  if (argc > 1 && strcmp(argv[1], "userns") == 0) return host_userns(argc, argv);
  if (argc > 1 && strcmp(argv[1], "unpack") == 0) return host_unpack(argc, argv);
  if (argc > 1 && strcmp(argv[1], "whiteouts") == 0) return host_whiteouts(argc, argv);
  if (argc > 1 && strcmp(argv[1], "candidates") == 0) return host_candidates(argc, argv);
  if (argc > 1 && strcmp(argv[1], "upper") == 0) return host_upper(argc, argv);
  if (argc > 1 && strcmp(argv[1], "relay") == 0) return relay_main(argc, argv);
  if (argc > 1 && strcmp(argv[1], "deleted-files") == 0) return host_deleted_files(argc, argv);
  return init_main(argc, argv);
}
