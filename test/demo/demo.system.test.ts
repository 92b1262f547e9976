/** The demo as a user starts it: a process, of which only lines and exit code count. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitForCleanUps } from '../support/leftovers.ts';
import { needs } from '../support/needs.ts';

const ROOT = join(import.meta.dirname, '../..');
const NOTHING_LEFT = ['processes', 'mounts', 'cgroups', 'open ports', 'file system layers'];

let scratch = '';
let running: ChildProcess | null = null;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'd-'));
  // Sandbox users traverse it.
  chmodSync(scratch, 0o711);
  mkdirSync(join(scratch, 'tmp'));
});

afterEach(async () => {
  // After a test that timed out: the demo stops its server and its sandbox.
  if (running?.kill('SIGTERM')) await once(running, 'close');
  running = null;
  await waitForCleanUps(scratch);
  rmSync(scratch, { recursive: true });
});

interface Ended {
  code: unknown;
  out: string;
  err: string;
}

/** Runs the demo to its end. `onOutput` sees the output so far each time it grows, and may end the demo. */
async function demo(
  args: string[],
  onOutput: (out: string, kill: () => void) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(ROOT, 'demo/main.ts'), ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: scratch,
      TMPDIR: join(scratch, 'tmp'),
      SANDBOX_MCP_STATE_DIR: join(scratch, 's'),
    },
  });
  running = child;
  const ended = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    ended.out += chunk.toString('utf8');
    onOutput(ended.out, () => child.kill('SIGTERM'));
  });
  child.stderr.on('data', (chunk: Buffer) => {
    ended.err += chunk.toString('utf8');
  });
  const [code] = await once(child, 'close');
  running = null;
  return { code, ...ended };
}

function project(files: Record<string, string>): string {
  const directory = join(scratch, 'project');
  mkdirSync(directory);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}

/** The output line of a step. */
function stepLine(out: string, title: string): string {
  return out.split('\n').find((line) => line.includes(`✓ ${title}`)) ?? `no step "${title}" in:\n${out}`;
}

function expectNothingLeft({ out }: Ended): void {
  for (const name of NOTHING_LEFT) expect(out).toMatch(new RegExp(`^ +${name} +\\d+ → 0$`, 'm'));
  // The check must have looked at something.
  expect(out).toMatch(/^ +processes +[1-9]\d* → 0$/m);
  expect(out).toMatch(/^ +open ports +1 → 0$/m);
  expect(out).toMatch(/^ +file system layers +[1-9]\d* → 0$/m);
  expect(readdirSync(join(scratch, 'tmp')).filter((name) => name.startsWith('sandbox-mcp'))).toEqual([]);
}

describe('the demo', needs('Linux', process.platform === 'linux'), () => {
  it('runs the example in a sandbox and leaves nothing', async () => {
    const ended = await demo([]);
    expect(ended, ended.out).toMatchObject({ code: 0, err: '' });
    expect(stepLine(ended.out, 'create a sandbox')).toMatch(/ ms {3}sbx_/);
    expect(stepLine(ended.out, 'upload word-count')).toMatch(/\d+ files, [\d,]+ bytes/);
    expect(ended.out).toContain('│ ℹ fail 0');
    expect(stepLine(ended.out, 'run its tests')).toContain('exit 0');
    expect(stepLine(ended.out, 'build it')).toContain('exit 0');
    expect(stepLine(ended.out, 'serve it, fetch a page')).toMatch(
      /127\.0\.0\.1:\d+: 200, .*"The ferry: \d+ words"/,
    );
    expect(stepLine(ended.out, 'download an artefact')).toMatch(/dist\/report\.html: .* checked/);
    expectNothingLeft(ended);
    expect(ended.out).not.toContain('\u001b');
  });

  it('accepts a directory without a known project', async () => {
    const ended = await demo([project({ 'letter.txt': 'Dear reader' })]);
    expect(ended, ended.out).toMatchObject({ code: 0, err: '' });
    expect(ended.out).toContain('project: not a known kind of project');
    expect(ended.out).toMatch(/│ .*letter\.txt/);
    expectNothingLeft(ended);
  });

  it('reports failed tests of a project, after cleaning up', async () => {
    const scripts = { test: 'echo one is wrong >&2; exit 3' };
    const ended = await demo([project({ 'package.json': JSON.stringify({ scripts }) })]);
    expect(ended.code).toBe(1);
    expect(ended.out).toContain('│ one is wrong');
    expect(ended.out).toMatch(/Step "run its tests": .* ended with exit 3\./);
    expectNothingLeft(ended);
  });

  it.each([
    ['that does not exist', 'nowhere', 'Directory "nowhere" does not exist.'],
    ['that is a file', 'package.json', '"package.json" is not a directory.'],
  ])('rejects a directory %s', async (_, given, sentence) => {
    const ended = await demo([given]);
    expect(ended).toMatchObject({ code: 1, err: '' });
    expect(ended.out).toContain(`The demo failed: ${sentence}`);
  });

  it('cleans up when it is interrupted', async () => {
    let signalled = false;
    const scripts = { test: 'sleep 1000' };
    const directory = project({ 'package.json': JSON.stringify({ scripts }) });
    const ended = await demo([directory], (out, kill) => {
      if (!signalled && out.includes('✓ upload')) {
        signalled = true;
        kill();
      }
    });
    expect(ended).toMatchObject({ code: 1, err: '' });
    expect(ended.out).toContain('The demo failed: Ended by SIGTERM.');
    const [sandbox] = readdirSync(join(scratch, 's/sandboxes'));
    expect(readdirSync(join(scratch, 's/sandboxes', sandbox ?? ''))).not.toContain('layers');
  });
});
