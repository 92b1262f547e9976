#!/usr/bin/env bash
# The manual of MCP bundles shows a folder setting with `"required": true, "default": ["${HOME}/Desktop", …]` and says that a default may hold
# `${HOME}`. `getMcpConfigForManifest`, the package's function that makes a command line from manifest and settings, bears out neither. A required
# setting that the user leaves at its default counts as missing, and there is no command line at all. Of an optional one the server gets the default
# as it stands in the manifest, `${HOME}` included, although another `${HOME}` of the same command line is replaced. So a bundled server that takes
# folders for its uploads has to expect such an argument, and to say what it is instead of creating a folder of that name.
#
# Seen with: @anthropic-ai/mcpb 2.1.2, manifest 0.3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @anthropic-ai/mcpb@2.1.2 2>/dev/null

cat >config.mjs <<'JS'
import { getMcpConfigForManifest, MANIFEST_SCHEMAS } from '@anthropic-ai/mcpb';

function manifest(required) {
  return {
    manifest_version: '0.3',
    name: 'sandbox',
    version: '1.0.0',
    description: 'Sandboxes',
    author: { name: 'Somebody' },
    server: {
      type: 'node',
      entry_point: 'main.js',
      mcp_config: { command: 'node', args: ['main.js', '--state=${HOME}/state', '${user_config.folders}'] },
    },
    user_config: {
      folders: {
        type: 'directory',
        title: 'Folders',
        description: 'Folders that uploads may read',
        multiple: true,
        required,
        default: ['${HOME}/Desktop'],
      },
    },
  };
}

for (const required of [true, false]) {
  const config = await getMcpConfigForManifest({
    manifest: MANIFEST_SCHEMAS['0.3'].parse(manifest(required)),
    extensionPath: '/bundle',
    systemDirs: { HOME: '/home/me' },
    userConfig: {},
    pathSeparator: '/',
  });
  console.log(`${required ? 'required' : 'optional'}: ${config === undefined ? 'no command line' : config.args.join(' ')}`);
}
JS

seen=$(timeout 60 node config.mjs)
echo "$seen"
expected='required: no command line
optional: main.js --state=/home/me/state ${HOME}/Desktop'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
