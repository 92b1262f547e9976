import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { captureOutput, OUTPUT_BUDGET_BYTES } from '../../../tools/commands/command-output.ts';
import { WrittenOutput } from '../../fakes/written-output.ts';
import { neverAborted } from '../../registry/support/registry.ts';

async function capture(output: WrittenOutput): ReturnType<typeof captureOutput> {
  return captureOutput(output.handle, output.command, neverAborted);
}

function numbered(from: number, to: number): string {
  return Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}\n`).join('');
}

describe('captureOutput', () => {
  it('returns both streams whole when they fit', async () => {
    const output = new WrittenOutput()
      .write('stdout', 'a\n')
      .write('stderr', 'oops\n')
      .write('stdout', 'b\n');
    expect(await capture(output)).toEqual({ stdout: 'a\nb\n', stderr: 'oops\n', truncated: false });
    expect(await capture(new WrittenOutput())).toEqual({ stdout: '', stderr: '', truncated: false });
  });

  it('returns head and tail in whole lines, with what is missing and the call that gets it', async () => {
    const all = numbered(1, 20_000);
    const { stdout, truncated } = await capture(new WrittenOutput().write('stdout', all).finish());
    expect(truncated).toBe(true);
    expect(Buffer.byteLength(stdout)).toBeLessThan(OUTPUT_BUDGET_BYTES + 300);
    const [head = '', tail = ''] = stdout.split(/\[….*…\]\n/);
    expect(all.startsWith(head) && head.endsWith('\n')).toBe(true);
    expect(all.endsWith(tail) && tail.startsWith('line ')).toBe(true);
    const marker = /\[… ([\d,]+) bytes \(([\d,]+) lines\) left out; read with (.+) …\]/.exec(stdout);
    const missing = all.slice(head.length, all.length - tail.length);
    expect(marker?.[1]?.replaceAll(',', '')).toBe(String(missing.length));
    expect(marker?.[2]?.replaceAll(',', '')).toBe(String(missing.split('\n').length - 1));
    expect(marker?.[3]).toBe(
      `command_output command_id=cmd_222222222222_abcdefgh stream=stdout offset=${head.length}`,
    );
  });

  it('keeps a short stream whole next to a long one', async () => {
    const output = new WrittenOutput().write('stdout', numbered(1, 50_000)).write('stderr', 'the reason\n');
    const { stdout, stderr } = await capture(output);
    expect(stderr).toBe('the reason\n');
    expect(stdout.length).toBeGreaterThan(OUTPUT_BUDGET_BYTES * 0.9);
  });

  it('shares the budget between two long streams', async () => {
    const output = new WrittenOutput()
      .write('stdout', numbered(1, 9_000))
      .write('stderr', numbered(1, 9_000));
    const { stdout, stderr } = await capture(output);
    for (const text of [stdout, stderr]) expect(text.length).toBeLessThan(OUTPUT_BUDGET_BYTES / 2 + 300);
  });

  it('never splits a character or an escape if there is no line end', async () => {
    for (const padding of ['', 'a', 'ab', 'abc']) {
      const { stdout } = await capture(new WrittenOutput().write('stdout', padding + '😀'.repeat(20_000)));
      expect(stdout).not.toContain('\uFFFD');
      expect(stdout.replace(/\n\[….*…\]\n/, '')).toMatch(/^[abc]*(😀)+$/u);
    }
  });

  it('omits a partial character until the rest is written', async () => {
    const bytes = Buffer.from('né 😀, and so on 😀');
    for (let written = 1; written < bytes.length; written++) {
      const output = new WrittenOutput().write('stdout', bytes.subarray(0, written));
      const { stdout, truncated } = await capture(output);
      expect('né 😀, and so on 😀'.startsWith(stdout)).toBe(true);
      expect(truncated).toBe(false);
    }
    const cut = new WrittenOutput().write('stdout', bytes.subarray(0, -1));
    expect((await capture(cut)).stdout).toBe('né 😀, and so on ');
    expect((await capture(cut.finish())).stdout).toContain('not UTF-8');
    const long = new WrittenOutput().write('stdout', `${'x'.repeat(99)}\n`.repeat(1_000));
    expect((await capture(long.write('stdout', Buffer.from([0xf0, 0x9f])))).stdout).toMatch(/x\n$/);
  });

  it('reports binary output once, with its size', async () => {
    const { stdout, truncated } = await capture(new WrittenOutput().write('stdout', randomBytes(200_000)));
    expect(stdout).toMatch(/^\[200,000 bytes of binary data; read with command_output .* encoding=base64\]$/);
    expect(truncated).toBe(true);
  });

  it('is truncated if nothing of it could be written, as on a full disk', async () => {
    const { stdout, truncated } = await capture(new WrittenOutput().lose('stdout', 1_000).finish());
    expect(stdout).toContain('1,000 bytes');
    expect(truncated).toBe(true);
  });

  it('reports what the bounded log no longer holds', async () => {
    const output = new WrittenOutput()
      .write('stdout', 'first\n')
      .lose('stdout', 1_000)
      .write('stdout', 'last\n');
    expect((await capture(output)).stdout).toMatch(/^first\n\[… 1,000 bytes left out; .* …\]\nlast\n$/);
  });
});
