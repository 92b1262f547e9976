/** The package as users get it: packed, installed elsewhere without a network, and run by an ordinary user. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { unpackExtension, validateManifest } from '@anthropic-ai/mcpb';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import packageJson from '../../package.json' with { type: 'json' };
import { AGENT_COMPILERS } from '../../scripts/build-agents.mjs';
import { TOOLS } from '../../tools/index.ts';
import { needs } from '../support/needs.ts';
import { canBecomeOrdinary, makeOrdinaryUser, type OrdinaryUser } from '../support/ordinary-user.ts';
import { CALL_TIMEOUT_MS, PATIENT } from '../support/timeout-factor.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
/** Of the package that is downloaded. The two agents take most of it. */
const LARGEST_PACKAGE_BYTES = 2_600_000;
/** As the header of an ELF file names the architecture. */
const ELF_MACHINES = { x64: 62, arm64: 183 };

const OTHER = process.arch === 'arm64' ? 'x64' : 'arm64';
const CROSS = AGENT_COMPILERS[OTHER];
const canCross = spawnSync(CROSS.cross, ['--version'], { stdio: 'ignore' }).status === 0;

const packResult = z.array(
  z.object({ filename: z.string(), size: z.number(), files: z.array(z.object({ path: z.string() })) }),
);

const bundleManifest = z.object({
  manifest_version: z.literal('0.4'),
  version: z.string(),
  server: z.object({ entry_point: z.string() }),
  tools: z.array(z.object({ name: z.string() })),
});

let scratch = '';
let tarball = '';
let size = 0;
let files: string[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'package-'));
  const flags = ['--json', '--pack-destination', scratch, ...(canCross ? [] : ['--ignore-scripts'])];
  const { stdout } = await run('npm', ['pack', ...flags], { cwd: ROOT });
  // What the build prints comes first.
  const [packed] = packResult.parse(JSON.parse(stdout.slice(stdout.indexOf('[\n'))));
  if (packed === undefined) throw new Error('npm packed nothing');
  tarball = join(scratch, packed.filename);
  size = packed.size;
  files = packed.files.map(({ path }) => path);
});

afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

describe('the package', () => {
  it('contains the bundle, the agent with its source, the documentation, and nothing else', () => {
    const expected = [
      /^dist\/(main\.js|server\.cjs|tools\.json|agent-(x64|arm64))$/,
      /^dist\/parts\/[\w-]+\.cjs$/,
      /^agent\/(build\.mjs|[\w-]+\.c|[\w-]+\/[\w-]+\.[ch])$/,
      /^(docs|licenses)\/[\w.-]+\.(md|txt)$/,
      /^(package\.json|mcp\.json\.example|LICENSE|(CHANGELOG|README|SECURITY)\.md|THIRD-PARTY-NOTICES\.txt)$/,
    ];
    expect(files.filter((path) => !expected.some((pattern) => pattern.test(path)))).toEqual([]);
    expect(files).toEqual(expect.arrayContaining(['dist/main.js', 'dist/tools.json', 'LICENSE']));
  });

  it('is small', async () => {
    expect((await stat(tarball)).size).toBe(size);
    expect(size).toBeLessThan(LARGEST_PACKAGE_BYTES);
  });

  it(
    'contains a static agent for x64 and for arm64',
    needs(`a compiler for ${OTHER} (Debian: ${CROSS.packages})`, canCross),
    async () => {
      for (const [arch, machine] of Object.entries(ELF_MACHINES)) {
        const path = `dist/agent-${arch}`;
        expect(files).toContain(path);
        expect(await elfOf(join(ROOT, path))).toEqual({ machine, interpreted: false });
      }
    },
  );
});

describe('the bundle for desktop clients', () => {
  it('is valid by its own tool, lists the tools, and starts', async () => {
    const [bundle, folder] = [join(scratch, 'sandbox-mcp.mcpb'), join(scratch, 'unpacked')];
    await run('node', ['scripts/build-mcpb.mjs', bundle], { cwd: ROOT });
    expect((await stat(bundle)).size).toBeLessThan(2 * LARGEST_PACKAGE_BYTES);
    expect(await unpackExtension({ mcpbPath: bundle, outputDir: folder, silent: true })).toBe(true);
    const path = join(folder, 'manifest.json');
    expect(validateManifest(path)).toBe(true);
    const manifest = bundleManifest.parse(JSON.parse(await readFile(path, 'utf8')));
    expect(manifest.tools.map(({ name }) => name)).toEqual(TOOLS.map(({ name }) => name));
    const { version } = packageJson;
    expect(manifest.version).toBe(version);
    const started = await run('node', [join(folder, manifest.server.entry_point), '--version']);
    expect(started.stdout.trim()).toBe(version);
    const built = await readdir(join(folder, 'dist'));
    expect(built).toEqual(
      expect.arrayContaining([`agent-${process.arch}`, ...(canCross ? [`agent-${OTHER}`] : [])]),
    );
  });
});

describe('npx sandbox-mcp', needs('root, to become another user', canBecomeOrdinary), () => {
  let user: OrdinaryUser;

  beforeAll(async () => {
    user = await makeOrdinaryUser(true);
  });

  afterAll(async () => {
    await user.remove();
  });

  it('runs the main job for an ordinary user, without a network', async () => {
    const state = join(user.home, 'state');
    await mkdir(state);
    user.own(state);
    const copy = join(user.home, 'sandbox-mcp.tgz');
    await run('cp', [tarball, copy]);
    user.own(copy);
    const npx = [
      'npx',
      '--yes',
      '--offline',
      `--package=${copy}`,
      'sandbox-mcp',
      '--state-dir',
      state,
      '--log-level',
      'warn',
      ...PATIENT,
    ];
    const [program = '', ...args] = user.command([
      'env',
      '--chdir',
      user.home,
      'npm_config_update_notifier=false',
      ...npx,
    ]);
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env['PATH'] },
    });
    const closed = once(child, 'close');
    const client = new Client({ name: 'test', version: '1' });
    // Both directions use the same framing.
    await client.connect(new StdioServerTransport(child.stdout, child.stdin), { timeout: CALL_TIMEOUT_MS });
    const call = async (name: string, args: Record<string, unknown>) => {
      const request = { name, arguments: args };
      const options = { timeout: CALL_TIMEOUT_MS };
      return CallToolResultSchema.parse(await client.callTool(request, undefined, options));
    };
    try {
      const volumes = [{ name: 'work', path: '/data' }];
      const made = await call('sandbox_create', { volumes });
      expect(made).toMatchObject({ structuredContent: { status: 'running' } });
      await call('sandbox_write_files', { files: [{ path: '/data/app.js', content: 'console.log(6 * 7)' }] });
      const answer = await call('sandbox_run_command', { cmd: 'node', args: ['/data/app.js'] });
      expect(answer.structuredContent).toMatchObject({ exit_code: 0, stdout: '42\n' });
      // At the session's end its files might be removed after the process has exited.
      await call('sandbox_stop', { blocking: true });
    } finally {
      child.stdin.end();
      await closed;
      await client.close();
    }
  });
});

/** The architecture of an ELF file, and whether it needs a dynamic linker. */
async function elfOf(path: string): Promise<{ machine: number; interpreted: boolean }> {
  await using file = await open(path);
  const header = Buffer.alloc(64);
  await file.read(header, 0, header.length, 0);
  const [start, entrySize, count] = [
    Number(header.readBigUInt64LE(32)),
    header.readUInt16LE(54),
    header.readUInt16LE(56),
  ];
  const table = Buffer.alloc(entrySize * count);
  await file.read(table, 0, table.length, start);
  const types = Array.from({ length: count }, (_, index) => table.readUInt32LE(index * entrySize));
  return { machine: header.readUInt16LE(18), interpreted: types.includes(3) };
}
