#!/bin/sh
# Starts the server with its state in the volume. A server finds out by process ids which other servers have died, and
# those of another container are not visible: two containers must not share a state directory. So the directory is
# locked, and only a container that finds it locked takes another one.
set -eu
first=$SANDBOX_MCP_STATE_DIR
volume=$(dirname "$first")

fail() {
  echo "sandbox-mcp: $1" >&2
  exit 1
}

[ -w "$volume" ] || fail "user $(id -u) of the container cannot write to $volume.
Mount a named volume there, such as --volume=sandbox-mcp:$volume."

# Fails if another container holds the directory $1. A client may start a server to ask for its version and end it at
# once: that lock is worth a second. The server inherits the descriptor, and with it the lock.
lock() {
  exec 9>"$1.lock"
  code=0
  flock --timeout 1 --conflict-exit-code 75 9 || code=$?
  case $code in
    0) return 0 ;;
    75) return 1 ;;
    *) fail "$volume cannot be locked (flock exited with $code). Use a volume on a local file system." ;;
  esac
}

directory=$first
number=1
until lock "$directory"; do
  case ${1:-} in
    '' | -*) ;;
    *) fail "a running server uses this volume. Run the command there: docker exec CONTAINER sandbox-mcp $*" ;;
  esac
  number=$((number + 1))
  [ "$number" -le 20 ] || fail "20 containers use this volume. Give each client its own."
  directory=$first-$number
done
if [ "$directory" != "$first" ]; then
  echo "sandbox-mcp: another container uses $first, so this one uses $directory, which has images, snapshots and" \
    "volumes of its own. Give each client its own volume." >&2
  export SANDBOX_MCP_STATE_DIR="$directory"
fi
# Podman gives the user of a container the added capabilities themselves; only the helpers may have them.
exec setpriv --inh-caps=-all --ambient-caps=-all -- node "$(dirname "$0")/dist/main.js" "$@"
