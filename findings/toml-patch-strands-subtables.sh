#!/usr/bin/env bash
# `patch(text, value)` changes a TOML text so that it holds `value` and keeps its comments. Where a table has a subtable with a header of its own,
# as a server with variables usually has in Codex's `config.toml`, the text that comes out can hold something else. A server under a new name leaves
# `[mcp_servers.old.env]` behind: the new one has no variables, and the old one lives on with nothing but them. Taking the last entry off an array of
# tables takes the subtable of the first one too. Nothing is thrown. A program that edits settings with it has to parse the result and compare it with
# what it wanted before it writes the file.
#
# Seen with: @decimalturn/toml-patch 3.3.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @decimalturn/toml-patch@3.3.0 2>/dev/null

cat >patch.mjs <<'JS'
import { parse, patch } from '@decimalturn/toml-patch';

const servers = `[mcp_servers.old]
command = "node"

[mcp_servers.old.env]
LEVEL = "debug"
`;
const hooks = `[[hooks]]
name = "one"

[hooks.env]
LEVEL = "1"

[[hooks]]
name = "two"

[hooks.env]
LEVEL = "2"
`;
function show(title, text, change) {
  const wanted = parse(text);
  change(wanted);
  console.log(`${title}: wanted ${JSON.stringify(wanted)}`);
  console.log(`${title}: holds  ${JSON.stringify(parse(patch(text, wanted)))}`);
}
show('renamed', servers, (root) => {
  root.mcp_servers = { new: root.mcp_servers.old };
});
show('last one removed', hooks, (root) => {
  root.hooks.pop();
});
JS

seen=$(timeout 60 node patch.mjs)
echo "$seen"
expected='renamed: wanted {"mcp_servers":{"new":{"command":"node","env":{"LEVEL":"debug"}}}}
renamed: holds  {"mcp_servers":{"new":{"command":"node"},"old":{"env":{"LEVEL":"debug"}}}}
last one removed: wanted {"hooks":[{"name":"one","env":{"LEVEL":"1"}}]}
last one removed: holds  {"hooks":[{"name":"one"}]}'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
