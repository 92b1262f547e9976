import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { AgentSandbox, exists, isRoot, outcome, runFrame } from './support/agent-sandbox.ts';
import { answer, errno, Frame, frame, request } from './support/protocol.ts';

let sandbox: AgentSandbox;
beforeAll(async () => {
  sandbox = await AgentSandbox.start();
});
afterAll(() => sandbox.stop());

let count = 0;
function newId(): string {
  count += 1;
  return `run-${count}`;
}

describe('RUN', () => {
  it('returns the exit code and both streams byte for byte', async () => {
    const script = "printf 'a\\000b\\n'; printf err >&2; exit 7";
    const got = await sandbox.finish(['sh', '-c', script], { id: newId() });
    expect(got).toMatchObject({
      code: 7,
      signal: 0,
      cause: 0,
      out: 'a\0b\n',
      err: 'err',
      stdout: 4,
      stderr: 3,
    });
  });

  it('sets the user of the command and leaves it no privilege', async () => {
    const script =
      'id -u; id -g; umask; grep -E "^(CapEff|CapPrm|CapBnd|CapAmb|NoNewPrivs|SigBlk|SigIgn)" /proc/self/status';
    const { out } = await sandbox.finish(['sh', '-c', script], { id: newId() });
    const none = '0000000000000000';
    const lines = out
      .trim()
      .split('\n')
      .map((line) => line.replace(/\s+/g, ' '));
    expect(lines).toEqual([
      String(sandbox.uid),
      String(sandbox.uid),
      '0022',
      `SigBlk: ${none}`,
      `SigIgn: ${none}`,
      `CapPrm: ${none}`,
      `CapEff: ${none}`,
      `CapBnd: ${none}`,
      `CapAmb: ${none}`,
      'NoNewPrivs: 1',
    ]);
  });

  it('gives sudo a bounding set without the capabilities that could trace the agent', async () => {
    const script = 'id -u; id -G; grep CapEff /proc/self/status';
    const { out } = await sandbox.finish(['sh', '-c', script], { id: newId(), sudo: true });
    const [uid, groups, caps] = out.trim().split('\n');
    expect([uid, groups?.split(' ')[0]]).toEqual(['0', '0']);
    const mask = BigInt(`0x${caps?.split(/\s+/)[1]}`);
    expect(mask & (1n << 1n)).not.toBe(0n); // CAP_DAC_OVERRIDE
    expect(mask & ((1n << 19n) | (1n << 8n))).toBe(0n); // CAP_SYS_PTRACE, CAP_SETPCAP
  });

  it('provides its own session, empty standard input, only its environment and no other descriptor', async () => {
    const script = 'cat; pwd; env | sort; ls /proc/self/fd; cut -d" " -f6 /proc/$$/stat; echo $$';
    const options = { id: newId(), cwd: '/usr', env: ['B=2', 'A=1 =x', 'PATH=/usr/bin'] };
    const { out, err } = await sandbox.finish(['/usr/bin/sh', '-c', script], options);
    const lines = out.trim().split('\n');
    expect(lines.slice(0, 5)).toEqual(['/usr', 'A=1 =x', 'B=2', 'PATH=/usr/bin', 'PWD=/usr']);
    expect(lines.slice(5, 9)).toEqual(['0', '1', '2', '3']); // 3 is the directory that ls lists
    expect(lines[9]).toBe(lines[10]);
    expect(err).toBe('');
  });

  it('returns 127 for a program that does not exist and 126 for one that cannot be executed', async () => {
    const missing = await sandbox.finish(['no-such-program'], { id: newId() });
    expect(missing).toMatchObject({ code: 127, err: 'no-such-program: command not found\n' });
    const absolute = await sandbox.finish(['/no/such'], { id: newId() });
    expect(absolute).toMatchObject({ code: 127, err: '/no/such: command not found\n' });
    const denied = await sandbox.finish(['/etc/passwd'], { id: newId() });
    expect(denied).toMatchObject({ code: 126, err: '/etc/passwd: Permission denied\n' });
  });

  it('runs a file without #! with /bin/sh', async () => {
    await sandbox.finish(['sh', '-c', 'echo "echo hello \\$1" > /tmp/plain; chmod +x /tmp/plain'], {
      id: newId(),
    });
    expect(await sandbox.finish(['/tmp/plain', 'you'], { id: newId() })).toMatchObject({
      code: 0,
      out: 'hello you\n',
    });
  });

  it('fails without a command when the working directory cannot be entered', async () => {
    const id = newId();
    const connection = await sandbox.connect();
    await connection.send(runFrame(['true'], { id, cwd: '/nowhere' }));
    const got = await connection.expect(answer.error);
    expect([got.number(50), got.text(51), got.text(52)]).toEqual([2, 'cwd', '/nowhere']);
    expect(await connection.next()).toBeNull();
    expect(await exists(join(sandbox.dir, 'c', id))).toBe(false);
    expect(await sandbox.finish(['true'], { id })).toMatchObject({ code: 0 });
  });

  it('runs an id once', async () => {
    const id = newId();
    await sandbox.finish(['true'], { id });
    const connection = await sandbox.connect();
    await connection.send(runFrame(['true'], { id }));
    expect(errno(await connection.expect(answer.error))).toBe(17);
    connection.close();
  });

  it('rejects ids that would name another file on the host', async () => {
    for (const id of ['', '.', '..', '../x', 'a/b', '.hidden', 'x'.repeat(129)]) {
      const connection = await sandbox.connect();
      await connection.send(runFrame(['true'], { id }));
      const got = await connection.expect(answer.error);
      expect([got.number(50), got.text(51)], id).toEqual([22, 'id']);
      connection.close();
    }
  });

  it('reports the signal that killed the command', async () => {
    const got = await sandbox.finish(['sh', '-c', 'kill -SEGV $$'], { id: newId() });
    expect(got).toMatchObject({ code: 139, signal: 11, cause: 0 });
  });

  it('writes the exit file before it reports the exit, and answers later requests', async () => {
    const id = newId();
    const connection = await sandbox.run(['sh', '-c', 'sleep 30 & exit 3'], { id });
    const exit = await connection.expect(answer.exit, [answer.output]);
    const file = new Frame(answer.exit, await readFile(join(sandbox.dir, 'c', id, 'exit')));
    expect(outcome(file)).toEqual(outcome(exit));
    expect(outcome(file).code).toBe(3);
    const late = await sandbox.attach(id);
    await late.send(frame(request.attach));
    expect(outcome(await late.expect(answer.exit)).code).toBe(3);
    late.close();
    connection.close();
  });

  it('starts 50 commands at once', async () => {
    const ids = Array.from({ length: 50 }, newId);
    const results = await Promise.all(ids.map((id) => sandbox.finish(['sh', '-c', `echo ${id}`], { id })));
    expect(results.map((result) => result.out)).toEqual(ids.map((id) => `${id}\n`));
  });

  it('lowers the process limit', needs('root', isRoot), async () => {
    const script = 'grep -E "^Max (processes|core)" /proc/self/limits';
    const { out } = await sandbox.finish(['sh', '-c', script], { id: newId(), nproc: 77 });
    expect(out.replace(/ +/g, ' ')).toBe('Max core file size 0 0 bytes \nMax processes 77 77 processes \n');
  });

  it('protects its own processes', async () => {
    for (const sudo of [false, true]) {
      const { out } = await sandbox.finish(['escape'], { id: newId(), sudo });
      expect(out).not.toContain('YES');
      expect(out.split('\n').length).toBe(13);
    }
  });
});
