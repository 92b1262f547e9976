/** Serves a directory if the project has no server of its own, with whatever the sandbox has. */
import type { Program } from './project.ts';

/** Lists the directory; small enough to be an argument. */
const NODE_SERVER = `
const { readdirSync } = require('node:fs');
const list = readdirSync('.').join('\\n');
require('node:http').createServer((_, response) => response.end(list + '\\n')).listen(PORT, '127.0.0.1');
`;

/** Null if the sandbox has neither Python nor Node. */
export function fileServer(programs: readonly string[], port: number): Program | null {
  if (programs.includes('python3')) {
    const args = ['-m', 'http.server', '--bind', '127.0.0.1', String(port)];
    return { title: 'python3 -m http.server', cmd: 'python3', args };
  }
  if (!programs.includes('node')) return null;
  return {
    title: 'a file list by node',
    cmd: 'node',
    args: ['-e', NODE_SERVER.replace('PORT', String(port))],
  };
}
