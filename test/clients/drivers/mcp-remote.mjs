/** The bridge mcp-remote, between the SDK's client over the standard streams and a server over HTTP. */
import { fileURLToPath } from 'node:url';
import { connect as connectSdk } from './sdk.mjs';

const bridge = fileURLToPath(new URL('../node_modules/mcp-remote/dist/proxy.js', import.meta.url));

export function connect({ url, headers }) {
  const header = Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}:${value}`]);
  return connectSdk({
    command: process.execPath,
    args: [bridge, url, '--transport', 'http-only', ...header],
  });
}
