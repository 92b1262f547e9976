/**
 * The command line of the Inspector. Each call is a client of its own, and over the standard streams a server of its
 * own, so the sandbox is kept and named in every call. It prints what the server sends.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { shownOf } from './blocks.mjs';

const LAUNCHER = '../node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js';
const launcher = fileURLToPath(new URL(LAUNCHER, import.meta.url));
const run = promisify(execFile);

export async function connect({ command, args, url, headers = {} }) {
  const target = url === undefined ? [command, ...args] : [url];
  const header = Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]);
  const options = ['--quiet', '--format', 'json', '--method', 'tools/call', ...header];
  let sandbox = {};
  const call = async (name, given) => {
    const argument = JSON.stringify({ ...addition(name, sandbox), ...given });
    const line = ['--cli', ...target, '--', ...options, '--tool-name', name, '--tool-args-json', argument];
    // It exits with an error of its own after the result of a tool that failed.
    const { stdout, stderr } = await run(process.execPath, [launcher, ...line]).catch((error) => error);
    if (!stdout) throw new Error(stderr);
    const { result } = JSON.parse(stdout);
    if (name === 'sandbox_create') sandbox = { sandbox_id: result.structuredContent.sandbox_id };
    return shownOf(result.content);
  };
  return { call, close: () => call('sandbox_stop', { blocking: true }) };
}

/** What has to be said where nothing is remembered. */
function addition(name, sandbox) {
  if (name === 'sandbox_create') return { keep: true };
  return name.startsWith('sandbox_') && name !== 'sandbox_list' ? sandbox : {};
}
