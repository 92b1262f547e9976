import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { SandboxError } from '../../src/shared/errors.ts';
import { createLogger, type Logger, type LogLevel } from '../../src/shared/log.ts';

function capture(level: LogLevel): { log: Logger; text: () => string } {
  const lines: string[] = [];
  return { log: createLogger(level, { write: (line) => void lines.push(line) }), text: () => lines.join('') };
}

describe('logger', () => {
  it.each([
    ['a password', { password: 'hunter2' }],
    ['a token deep inside', { request: { source: [{ accessToken: 'hunter2' }] } }],
    ['an authorization header in any case', { AUTHORIZATION: 'hunter2' }],
    ['every header value', { rules: [{ headers: { 'x-plain': 'hunter2' } }] }],
    ['every environment value', { env: { HOME: 'hunter2' } }],
    ['an environment as a list', { env: ['A=hunter2'] }],
    ['credentials in a URL', { url: 'https://ann:hunter2@example.com/a.git' }],
    ['the fields of an error', { err: new SandboxError('auth', 'No.', { details: { token: 'hunter2' } }) }],
    ['the cause of an error', { err: new Error('No.', { cause: { secret: 'hunter2' } }) }],
    ['the message of an error', { err: new Error('fetch https://ann:hunter2@example.com failed') }],
    ['bytes', { data: Buffer.from('hunter2') }],
  ])('masks %s', (_, fields) => {
    const { log, text } = capture('info');
    log.info(fields, 'a line');
    log.child(fields).info('a line https://ann:hunter2@example.com');
    expect(text()).toContain('a line');
    expect(text()).not.toContain('hunter2');
    expect(text()).not.toContain(Buffer.from('hunter2').toJSON().data.join(','));
  });

  it('keeps what helps: names, codes, stacks, causes', () => {
    const { log, text } = capture('info');
    const cause = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    log.error({ env: { PATH: '/bin' }, err: new SandboxError('server', 'Failed.', { cause }) }, 'a line');
    for (const part of ['PATH', 'Failed.', 'log.test.ts', 'ENOSPC', '"code":"server"'])
      expect(text()).toContain(part);
  });

  it('handles circular, endless and unusual values', () => {
    const { log, text } = capture('info');
    const circle: Record<string, unknown> = {
      big: 2n ** 70n,
      list: Array.from({ length: 10_000 }, () => 'x'),
    };
    circle['self'] = circle;
    log.info(circle, 'a line');
    expect(text().length).toBeLessThan(5_000);
  });

  it('writes nothing below its level', () => {
    const { log, text } = capture('warn');
    log.info({ a: 1 }, 'quiet');
    log.warn('loud');
    expect(text()).toContain('loud');
    expect(text()).not.toContain('quiet');
  });

  it('writes only to standard error, completely before the process exits', () => {
    const script = `
      import { createLogger } from ${JSON.stringify(fileURLToPath(new URL('../../src/shared/log.ts', import.meta.url)))};
      const log = createLogger('info');
      for (let line = 0; line < 100; line += 1) log.info({ line }, 'text');
      process.exit(0);`;
    const { stdout, stderr } = spawnSync(process.execPath, [
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      script,
    ]);
    expect(stdout.toString()).toBe('');
    expect(stderr.toString().trim().split('\n')).toHaveLength(100);
  });
});
