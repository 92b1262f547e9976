#!/usr/bin/env bash
# In a bundle's manifest a user's setting can be handed to the server as an argument of its own or in `env`, where the manual wants secrets. The
# package fills the two in by different means: an argument gets the value as it is, a string in `env` goes through JavaScript's `String.replace`, for
# which `$$`, `$&` and the like in the value are instructions. A password with two dollar signs loses one on the way into `env`; one with `$&` gets
# the template's own name into its middle. Schema and validator accept all of it, and the server sees a plausible, wrong secret. A server that reports
# a failed login should say how long the secret was that it got.
#
# Seen with: @anthropic-ai/mcpb 2.1.2, manifest 0.3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @anthropic-ai/mcpb@2.1.2 2>/dev/null

cat >config.mjs <<'JS'
import { getMcpConfigForManifest } from '@anthropic-ai/mcpb';

const manifest = {
  manifest_version: '0.3',
  name: 'sandbox',
  version: '1.0.0',
  description: 'Sandboxes',
  author: { name: 'Somebody' },
  server: {
    type: 'node',
    entry_point: 'main.js',
    mcp_config: { command: 'node', args: ['${user_config.secret}'], env: { SECRET: '${user_config.secret}' } },
  },
  user_config: { secret: { type: 'string', title: 'Secret', description: 'A password', sensitive: true, required: true } },
};
for (const secret of ['plain', 'two$$dollars', 'one$&more']) {
  const { args, env } = await getMcpConfigForManifest({
    manifest,
    extensionPath: '/bundle',
    systemDirs: {},
    userConfig: { secret },
    pathSeparator: '/',
  });
  console.log(`${secret}: as argument ${args[0]}, in env ${env.SECRET}`);
}
JS

seen=$(timeout 60 node config.mjs)
echo "$seen"
expected='plain: as argument plain, in env plain
two$$dollars: as argument two$$dollars, in env two$dollars
one$&more: as argument one$&more, in env one${user_config.secret}more'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
