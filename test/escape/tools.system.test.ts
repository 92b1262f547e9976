/** Escapes through the tools: attacks by a malicious sandbox with paths, files, output and terminals. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { symlinkSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type RunningServer, startServer } from '../support/server.ts';

const SECRET = `secret-${randomBytes(8).toString('hex')}`;
let server: RunningServer;
/** A file of the host with the secret, outside everything that a tool may access. */
let hostFile: string;

beforeAll(async () => {
  server = await startServer({ env: { SANDBOX_MCP_SECRET_ESCAPE: SECRET } });
  hostFile = join(server.stateDir, 'of-the-host');
  await server.call('sandbox_create');
  await writeFile(hostFile, `${SECRET}\n`);
});
afterAll(() => server.close());

async function bash(script: string, sudo = false): Promise<string> {
  const { structured } = await server.call('sandbox_run_command', {
    cmd: 'bash',
    args: ['-c', script],
    sudo,
  });
  return String(structured['stdout']);
}

const downloads = async () => (await readdir(server.cwd)).sort();

describe('a link to a host file', () => {
  const link = async () =>
    bash(`ln -sfn '${hostFile}' link; ln -sfn '${server.stateDir}' dir; readlink link`);

  it('resolves to that file on the host', async () => {
    symlinkSync(hostFile, join(server.cwd, 'control'));
    expect(await readFile(join(server.cwd, 'control'), 'utf8')).toBe(`${SECRET}\n`);
    execFileSync('rm', [join(server.cwd, 'control')]);
  });

  it.each([
    ['sandbox_read_file', { path: 'link' }],
    ['sandbox_read_file', { path: 'dir/of-the-host' }],
    ['sandbox_iter_file', { path: 'link' }],
    ['sandbox_download_file', { remote_path: 'link', local_path: 'stolen' }],
    ['sandbox_download_file', { remote_path: 'dir/of-the-host', local_path: 'stolen' }],
  ])('is followed only inside by %s %j', async (tool, args) => {
    expect(await link()).toBe(`${hostFile}\n`);
    const answer = await server.call(tool, args);
    expect(JSON.stringify(answer)).not.toContain(SECRET);
    expect(answer.isError || answer.structured['exists'] === false).toBe(true);
    expect(await downloads()).toEqual([]);
  });

  it('is written through only inside', async () => {
    await link();
    const path = 'dir/of-the-host';
    const answer = await server.call('sandbox_write_files', { files: [{ path, content: 'changed' }] });
    expect(answer.isError).toBe(true);
    await server.call('sandbox_write_files', { files: [{ path: 'link', content: 'changed' }] });
    expect(await readFile(hostFile, 'utf8')).toBe(`${SECRET}\n`);
  });

  it('is omitted from a downloaded tree, and reported', async () => {
    await bash(
      `mkdir -p tree/a; ln -sfn '${hostFile}' tree/a/link; ln -sfn ../../.. tree/a/up; echo x > tree/a/file`,
    );
    const answer = await server.call('sandbox_download_file', { remote_path: 'tree', local_path: 'tree' });
    expect(answer.structured).toMatchObject({ files: 1, skipped: 2 });
    expect(await readdir(join(server.cwd, 'tree/a'))).toEqual(['file']);
    execFileSync('rm', ['-r', join(server.cwd, 'tree')]);
  });
});

describe('a special file', () => {
  const KINDS: [string, string][] = [
    ['a fifo', 'mkfifo odd'],
    ['a device', 'ln -s /dev/zero odd'],
    ['a terminal', 'ln -s /dev/pts/ptmx odd'],
    ['a socket', `python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('odd')"`],
    ["the agent's memory", 'ln -s /proc/1/mem odd'],
    ["the agent's directory", 'ln -s /proc/1/fd/3 odd'],
    ['a link to itself', 'ln -s odd odd'],
  ];

  it.each(KINDS)('%s is rejected by the file tools at once', async (_, make) => {
    await bash(`rm -f odd; ${make}`);
    for (const [tool, args] of [
      ['sandbox_read_file', { path: 'odd' }],
      ['sandbox_iter_file', { path: 'odd' }],
      ['sandbox_download_file', { remote_path: 'odd', local_path: 'odd' }],
    ] as const) {
      const answer = await server.call(tool, args);
      expect([tool, answer.isError, /^Error \((invalid_argument|permission)\)/.test(answer.text)]).toEqual([
        tool,
        true,
        true,
      ]);
    }
    expect(await downloads()).toEqual([]);
  });

  it('can be opened by a program inside: only the tools reject it', async () => {
    expect(await bash('head -c 3 /dev/zero | wc -c; rm -f f; mkfifo f; (echo in > f &); cat f')).toBe(
      '3\nin\n',
    );
  });
});

describe('files that change while a tool reads them', () => {
  it('never redirect its reads or writes', async () => {
    await bash(`rm -rf swap; mkdir swap; echo good > swap/file`);
    // A directory that is repeatedly replaced by a link to the host's folder.
    const swapping = await server.call('sandbox_run_command_detached', {
      cmd: 'bash',
      args: [
        '-c',
        `while :; do mv swap other; ln -sn '${server.stateDir}' swap; rm swap; ln -s '${hostFile}' other/of-the-host 2>/dev/null; mv other swap; done`,
      ],
    });
    for (let round = 0; round < 15; round++) {
      const read = await server.call('sandbox_read_file', { path: 'swap/of-the-host' });
      const wrote = await server.call('sandbox_write_files', {
        files: [{ path: 'swap/of-the-host', content: 'changed' }],
      });
      expect(JSON.stringify([read, wrote])).not.toContain(SECRET);
    }
    await server.call('command_kill', { command_id: swapping.structured['command_id'], signal: 'SIGKILL' });
    expect(await readFile(hostFile, 'utf8')).toBe(`${SECRET}\n`);
  });
});

describe("the server's environment", () => {
  it('is not visible inside', async () => {
    expect(await readFile(`/proc/${server.pid}/environ`, 'utf8')).toContain(SECRET);
    for (const sudo of [false, true]) {
      const seen = await bash(
        'env; cat /proc/*/environ /proc/self/mountinfo /proc/cmdline 2>/dev/null | tr "\\0" "\\n"',
        sudo,
      );
      expect(seen).toContain('PATH=');
      expect(seen).not.toContain(SECRET);
    }
  });
});

describe('set-user-id programs', () => {
  it('keep their user: set-user-id bits and file capabilities grant nothing', async () => {
    await bash('cp /usr/bin/id /var/tmp/id; chown 0:0 /var/tmp/id; chmod 6755 /var/tmp/id', true);
    expect(await bash('stat -c %a /var/tmp/id; /var/tmp/id -u; id -u')).toBe('6755\n1000\n1000\n');
  });
});

describe('output with terminal escapes', () => {
  const SEQUENCES = {
    'the clipboard': String.raw`\033]52;c;ZXZpbA==\007`,
    'the title': String.raw`\033]0;evil\007\033[21t`,
    'a device report': String.raw`\033[c\033[6n\033P$qm\033\\`,
    'a link': String.raw`\033]8;;http://evil.test/\033\\click\033]8;;\033\\`,
    'the other screen': String.raw`\033[?1049h\033[2J`,
    'eight-bit controls': String.raw`\302\2335n\302\235 0;evil\302\234`,
    'printing and sending': String.raw`\033[5i\033[i\033^evil\033\\\033_evil\033\\`,
  };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;
  const textsOf = ({ text, structured }: Answer) =>
    [text, ...Object.values(structured).filter((value) => typeof value === 'string')].join('\n');

  it.each(Object.entries(SEQUENCES))('%s: no answer contains it', async (_, sequence) => {
    const request = { cmd: 'printf', args: [`a${sequence}b\\n`] };
    const ran = await server.call('sandbox_run_command', request);
    expect(textsOf(ran)).not.toMatch(CONTROL);
    const command_id = ran.structured['command_id'];
    const logs = await server.call('command_logs', { command_id });
    expect(textsOf(logs)).not.toMatch(CONTROL);
    // The raw bytes are available.
    const raw = await server.call('command_output', { command_id, encoding: 'base64' });
    expect(Buffer.from(String(raw.structured['content']), 'base64').toString()).toMatch(CONTROL);
  });
});
