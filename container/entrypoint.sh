#!/bin/sh
# Starts the server with a state directory in the volume. Servers find out by their process ids which others have died;
# those of another container are not visible here, and would count as dead. So each container that runs at the same time
# has a directory of its own: the first that no other holds, so that images and volumes are found again.
set -eu
volume=/var/lib/sandbox-mcp
if ! [ -w "$volume" ]; then
  echo "sandbox-mcp: user $(id -u) of the container cannot write to $volume." >&2
  echo "Mount a named volume there, such as --volume=sandbox-mcp:$volume." >&2
  exit 1
fi
number=1
# The server inherits the descriptor, and with it the lock.
exec 9>"$volume/$number.lock"
until flock --nonblock 9; do
  number=$((number + 1))
  exec 9>"$volume/$number.lock"
done
export SANDBOX_MCP_STATE_DIR="$volume/$number"
exec node /opt/package/dist/main.js "$@"
