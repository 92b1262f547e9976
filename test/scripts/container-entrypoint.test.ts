/** The entry point of the container image: which directory of the volume a server gets. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const SCRIPT = join(import.meta.dirname, '../../container/entrypoint.sh');
/** Prints its state directory and its arguments, and ends when its input does. */
const SERVER = `
console.log(process.env.SANDBOX_MCP_STATE_DIR.replace(/.*\\//, ''), ...process.argv.slice(2));
process.stdin.resume();
`;
let home = '';
let entrypoint = '';

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'entrypoint-'));
  entrypoint = join(home, 'package/entrypoint.sh');
  for (const folder of ['package/dist', 'programs', 'volume'])
    mkdirSync(join(home, folder), { recursive: true });
  copyFileSync(SCRIPT, entrypoint);
  writeFileSync(join(home, 'package/dist/main.js'), SERVER);
});

afterEach(() => {
  rmSync(home, { recursive: true });
});

function environment() {
  const path = [join(home, 'programs'), dirname(process.execPath), process.env['PATH']].join(':');
  return { PATH: path, SANDBOX_MCP_STATE_DIR: join(home, 'volume/1') };
}

/** Starts a container's worth of server; resolves to what it printed once it has its directory. */
async function start(...args: string[]) {
  const child = spawn(entrypoint, args, { env: environment() });
  let warning = '';
  child.stderr.on('data', (chunk: Buffer) => {
    warning += chunk.toString();
  });
  const [line] = await once(child.stdout, 'data');
  const end = async () => {
    child.stdin.end();
    await once(child, 'close');
  };
  return { line: String(line).trim(), warning: () => warning, end };
}

/** What a start that fails says. */
async function failure(...args: string[]): Promise<string> {
  return run(entrypoint, args, { env: environment() }).then(
    ({ stdout }) => `started: ${stdout}`,
    ({ stderr }: { stderr: string }) => stderr,
  );
}

describe('the entry point of the container', () => {
  it('uses the same directory at each start, without a warning', async () => {
    for (let count = 0; count < 2; count++) {
      const server = await start('--toolsets', 'core');
      expect(server.line).toBe('1 --toolsets core');
      await server.end();
      expect(server.warning()).toBe('');
    }
  });

  it('takes another directory beside a running server, and says so', async () => {
    const first = await start();
    const second = await start();
    expect([first.line, second.line]).toEqual(['1', '1-2']);
    await Promise.all([first.end(), second.end()]);
    expect(second.warning()).toContain('another container uses');
    const third = await start();
    expect(third.line).toBe('1');
    await third.end();
  });

  it('runs a command on the first directory, and never on another one', async () => {
    const alone = await start('list');
    expect(alone.line).toBe('1 list');
    await alone.end();
    const server = await start();
    expect(await failure('list')).toContain('docker exec CONTAINER sandbox-mcp list');
    await server.end();
  });

  it('ends where a volume cannot be locked', async () => {
    const flock = join(home, 'programs/flock');
    writeFileSync(flock, '#!/bin/sh\nexit 71\n');
    chmodSync(flock, 0o755);
    expect(await failure()).toContain('cannot be locked (flock exited with 71)');
  });
});
