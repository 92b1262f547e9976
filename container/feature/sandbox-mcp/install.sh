#!/bin/sh
# Runs as root while the image of a dev container is built (https://containers.dev/implementors/features/). VERSION is
# the option of devcontainer-feature.json, _REMOTE_USER the user that works in the container.
set -eu
version=${VERSION:-latest}
user=${_REMOTE_USER:-root}

fail() {
  echo "sandbox-mcp: $1" >&2
  exit 1
}

command -v apt-get >/dev/null || fail 'this feature needs Debian or Ubuntu.'
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
  fail 'this feature needs Node 20.19 or newer: add the feature ghcr.io/devcontainers/features/node.'
[ "$user" != root ] ||
  fail 'set remoteUser in devcontainer.json to a user other than root, who lacks the capabilities for sandboxes here.'

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends ca-certificates crun libcap2-bin uidmap
rm -rf /var/lib/apt/lists/*
# As programs of root they could not map ids here: root of a container lacks CAP_SYS_ADMIN.
chmod u-s /usr/bin/newuidmap /usr/bin/newgidmap
setcap cap_setuid+ep /usr/bin/newuidmap
setcap cap_setgid+ep /usr/bin/newgidmap
npm install --global --no-audit --no-fund "sandbox-mcp@$version"

# Rootless Podman gives a container 65,536 ids, so the range has to be below; useradd's begins at 100,000.
for file in /etc/subuid /etc/subgid; do
  touch "$file"
  sed -i "/^$user:/d" "$file"
  echo "$user:2001:63535" >>"$file"
done
# A new volume takes over the owner and mode of the directory where it is mounted. The user may get another id later
# (updateRemoteUserUID), so anyone may create a directory here, and the server creates its own.
install -d -m 1777 -o root -g root /var/lib/sandbox-mcp
