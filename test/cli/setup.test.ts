import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parse as parseToml } from '@decimalturn/toml-patch';
import { parse as parseJson } from 'jsonc-parser';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CLIENTS } from '../../src/cli/setup/clients.ts';
import { selfCommand } from '../../src/cli/setup/self-command.ts';
import { setupClients } from '../../src/cli/setup-clients.ts';
import { setup } from '../../src/cli/verbs/setup.ts';
import { loadConfig } from '../../src/config/config.ts';
import { userFolders } from '../../src/config/user-folders.ts';
import { recordingTerminal } from '../support/recording-terminal.ts';

const SERVER = {
  command: '/usr/bin/node',
  args: ['/opt/sandbox-mcp/main.js', '--allow-dir', '/home/me/a b'],
};
const SAMPLES = join(import.meta.dirname, 'fixtures/client-settings');
let home = '';

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'setup-'));
});

afterEach(() => {
  rmSync(home, { recursive: true });
});

interface Run {
  client?: string | null;
  remove?: boolean;
  answer?: string | null;
  yes?: boolean;
  platform?: NodeJS.Platform;
  args?: string[];
}

async function run({ client = null, remove = false, answer = 'y', yes = false, platform, args }: Run = {}) {
  const terminal = recordingTerminal();
  const folders = userFolders({}, home);
  if (folders === null) throw new Error('no home');
  const server = args === undefined ? SERVER : { ...SERVER, args };
  const code = await setup(
    { client, remove, yes, serverFor: () => server, prepare: async () => {} },
    { folders, platform: platform ?? 'linux', terminal, ask: async () => answer },
  );
  return { code, out: terminal.output(), err: terminal.errors() };
}

/** The file of a client, with the sample of its settings in it if there is one. */
function place(client: string, text: string | null): string {
  const folders = userFolders({}, home);
  const [first] =
    folders === null ? [] : (CLIENTS.find(({ name }) => name === client)?.places(folders, 'linux') ?? []);
  if (first === undefined) throw new Error(`no place for ${client}`);
  mkdirSync(first.evidence, { recursive: true });
  if (text !== null) {
    mkdirSync(dirname(first.file), { recursive: true });
    writeFileSync(first.file, text);
  }
  return first.file;
}

const samples = readdirSync(SAMPLES);
const sampleOf = (client: string): string => {
  const name = samples.find((file) => file.startsWith(`${client}.`));
  if (name === undefined) throw new Error(`no sample for ${client}`);
  return readFileSync(join(SAMPLES, name), 'utf8');
};
const entryIn = (client: string, text: string): unknown => {
  const found = CLIENTS.find(({ name }) => name === client);
  const path = [...(found?.servers ?? []), 'sandbox'];
  const root: unknown = client === 'codex' ? parseToml(text) : parseJson(text);
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    root,
  );
};
/** True if nothing but white space is missing from `text`, in order. */
const hasAllOf = (part: string, text: string): boolean => {
  let next = 0;
  const wanted = part.replace(/\s/g, '');
  for (const character of text) if (character === wanted[next]) next++;
  return next === wanted.length;
};

describe('setup', () => {
  it.each(CLIENTS.map(({ name }) => name))(
    'adds an entry for %s and takes it back, to the byte',
    async (client) => {
      const before = sampleOf(client);
      const file = place(client, before);
      chmodSync(file, 0o640);
      expect((await run({ client })).code).toBe(0);
      const after = readFileSync(file, 'utf8');
      expect(entryIn(client, after)).toEqual(CLIENTS.find(({ name }) => name === client)?.entry(SERVER));
      expect(hasAllOf(before, after), after).toBe(true);
      expect(statSync(file).mode & 0o777).toBe(0o640);
      expect(readFileSync(`${file}.before-sandbox-mcp`, 'utf8')).toBe(before);

      expect((await run({ client })).out).toContain('is up to date');
      // A change of the entry does not lose the way back.
      await run({ client, args: ['/elsewhere/main.js'] });
      expect(readFileSync(file, 'utf8')).toContain('/elsewhere/main.js');
      expect((await run({ client, remove: true })).code).toBe(0);
      expect(readFileSync(file, 'utf8')).toBe(before);
    },
  );

  it.each(['cursor', 'codex'])(
    'creates the file of %s, for its user alone, and removes it again',
    async (client) => {
      const file = place(client, null);
      await run({ client });
      expect(entryIn(client, readFileSync(file, 'utf8'))).toMatchObject({ command: '/usr/bin/node' });
      expect(statSync(file).mode & 0o777).toBe(0o600);
      await run({ client, remove: true });
      expect(existsSync(file)).toBe(false);
    },
  );

  it('changes every client that it finds, and no other', async () => {
    const cursor = place('cursor', null);
    const codex = place('codex', sampleOf('codex'));
    const { code, out } = await run();
    expect(code).toBe(0);
    expect(out.match(/: added/g)).toHaveLength(2);
    expect(existsSync(cursor) && existsSync(codex)).toBe(true);
    expect(readdirSync(home).sort()).toEqual(['.codex', '.cursor']);
  });

  it('shows the change first, and makes it only after a yes', async () => {
    const before = sampleOf('zed');
    const file = place('zed', before);
    const refused = await run({ client: 'zed', answer: 'n' });
    expect(refused.out).toContain(`--- ${file}`);
    expect(refused.out).toContain('+      "command": "/usr/bin/node"');
    expect(refused.code).toBe(0);
    const unasked = await run({ client: 'zed', answer: null });
    expect(unasked.code).toBe(1);
    expect(unasked.err).toContain('--yes');
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(readdirSync(dirname(file))).toEqual(['settings.json']);
    expect((await run({ client: 'zed', answer: null, yes: true })).code).toBe(0);
    expect(readFileSync(file, 'utf8')).not.toBe(before);
  });

  it.each([
    [
      'zed',
      '{\n  // mine\n  "context_servers": {\n    "sandbox": { "command": "x" }, // ours\n    // b\n    "b": {}\n  }\n}\n',
      '{\n  // mine\n  "context_servers": {\n     // ours\n    // b\n    "b": {}\n  }\n}\n',
    ],
    [
      'cursor',
      '{"mcpServers":{"b":{"args":[","]},"sandbox":{"command":"x"}},"z":1}',
      '{"mcpServers":{"b":{"args":[","]}},"z":1}',
    ],
    [
      'cursor',
      '{\n\t"mcpServers": {\n\t\t"b": {}, // b\n\t\t"sandbox": {\n\t\t\t"command": "x"\n\t\t}\n\t}\n}\n',
      '{\n\t"mcpServers": {\n\t\t"b": {} // b\n\t}\n}\n',
    ],
    [
      'codex',
      '# a\n[mcp_servers.sandbox]\ncommand = "x"\n\n# b\n[mcp_servers.b] # c\ncommand = "y"\n',
      '# a\n\n# b\n[mcp_servers.b] # c\ncommand = "y"\n',
    ],
  ])('removes an entry of %s that it did not write, and nothing else', async (client, before, expected) => {
    const file = place(client, before);
    await run({ client, remove: true });
    const after = readFileSync(file, 'utf8');
    expect(entryIn(client, after)).toBeUndefined();
    expect(after).toBe(expected);
    expect(readFileSync(`${file}.before-sandbox-mcp`, 'utf8')).toBe(before);
  });

  it('keeps what was changed since, when it removes its entry', async () => {
    const file = place('vscode', sampleOf('vscode'));
    await run({ client: 'vscode' });
    writeFileSync(file, readFileSync(file, 'utf8').replace('"inputs"', '"mine": true, "inputs"'));
    await run({ client: 'vscode', remove: true });
    expect(readFileSync(file, 'utf8')).toBe(sampleOf('vscode').replace('"inputs"', '"mine": true, "inputs"'));
  });

  it('keeps line ends, a byte order mark and a symbolic link', async () => {
    const before = `\ufeff${sampleOf('cursor').replaceAll('\n', '\r\n')}`;
    const file = place('cursor', null);
    const target = join(home, 'dotfiles.json');
    writeFileSync(target, before);
    symlinkSync(target, file);
    await run({ client: 'cursor' });
    const after = readFileSync(target, 'utf8');
    expect(after.startsWith('\ufeff{\r\n')).toBe(true);
    expect(after.replaceAll('\r\n', '')).not.toContain('\n');
    await run({ client: 'cursor', remove: true });
    expect(readFileSync(target, 'utf8')).toBe(before);
  });

  it.each([
    ['cursor', '{"mcpServers": {', 'line 1'],
    ['cursor', '{"mcpServers": []}', 'array'],
    ['cursor', '[]', 'the whole file'],
    ['codex', 'mcp_servers = 1\n', 'mcp_servers'],
    ['codex', '[mcp_servers\n', 'not valid TOML'],
  ])('leaves a damaged file of %s as it is: %s', async (client, text, message) => {
    const file = place(client, text);
    await expect(run({ client })).rejects.toThrow(message);
    await expect(run({ client })).rejects.toThrow(file);
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('continues with the other clients after a damaged file', async () => {
    place('cursor', '{');
    const codex = place('codex', null);
    const { code, err } = await run();
    expect(code).toBe(1);
    expect(err).toContain('Cursor: ');
    expect(existsSync(codex)).toBe(true);
  });

  it('adds to tables of TOML in any form', async () => {
    const file = place('codex', 'mcp_servers = { b = { command = "x" } } # mine\n');
    await run({ client: 'codex' });
    const text = readFileSync(file, 'utf8');
    expect(entryIn('codex', text)).toMatchObject({ command: '/usr/bin/node' });
    expect(text).toContain('# mine');
  });

  it('fails if the file changes while the user is asked', async () => {
    const file = place('cursor', '{}\n');
    const folders = userFolders({}, home);
    if (folders === null) throw new Error('no home');
    const ask = async (): Promise<string> => {
      writeFileSync(file, '{"a": 1}\n');
      return 'y';
    };
    const request = {
      client: 'cursor',
      remove: false,
      yes: false,
      serverFor: () => SERVER,
      prepare: async () => {},
    };
    const surroundings = { folders, platform: 'linux', terminal: recordingTerminal(), ask } as const;
    await expect(setup(request, surroundings)).rejects.toMatchObject({ code: 'conflict' });
    expect(readFileSync(file, 'utf8')).toBe('{"a": 1}\n');
  });

  it('names the clients that it knows', async () => {
    await expect(run({ client: 'emacs' })).rejects.toThrow('gemini-cli');
    const none = await run();
    expect(none.code).toBe(1);
    expect(none.err).toContain('no client was found');
  });

  it('makes the flags of its own call flags of the server', async () => {
    mkdirSync(join(home, '.cursor'));
    const flags = new Map([
      ['allow-dir', ['.']],
      ['read-only', ['true']],
      ['toolsets', ['core']],
    ] as const);
    const config = loadConfig(flags, { env: {}, cwd: home, homeDir: home, isRoot: false });
    const self = { command: 'node', args: ['main.js'] };
    const request = { client: 'cursor', remove: false, yes: true, flags, container: false, image: null };
    const dependencies = { self, ask: async () => null, version: '1.2.3', diagnose: async () => [] };
    await setupClients(request, config, dependencies, recordingTerminal(), 'linux');
    expect(entryIn('cursor', readFileSync(join(home, '.cursor/mcp.json'), 'utf8'))).toEqual({
      command: 'node',
      args: ['main.js', '--allow-dir', process.cwd(), '--read-only', '--toolsets', 'core'],
    });
  });

  it('starts the server by npx where that is how it was started', () => {
    const installed = '/usr/lib/node_modules/sandbox-mcp/dist/main.js';
    expect(selfCommand('/n', installed, 'linux')).toEqual({ command: '/n', args: [installed] });
    const cached = '/home/me/.npm/_npx/0123/node_modules/sandbox-mcp/dist/main.js';
    expect(selfCommand('/n', cached, 'linux')).toEqual({ command: 'npx', args: ['-y', 'sandbox-mcp'] });
    expect(selfCommand('/n', cached, 'win32').command).toBe('cmd');
  });
});
