import { describe, expect, it } from 'vitest';
import { exhaustedError } from '../../src/shared/errors.ts';

const systemError = (code: string) => Object.assign(new Error(`${code}: it failed`), { code });

describe('a system error', () => {
  it.each([
    ['EMFILE', 'file descriptors'],
    ['ENFILE', 'file descriptors'],
    ['EAGAIN', 'processes'],
    ['ENOMEM', 'memory'],
  ])('says what is used up: %s', (code, what) => {
    expect(exhaustedError(systemError(code))).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(what),
      hint: expect.stringContaining('Call again'),
    });
  });

  it('of another kind stays an unexpected one', () => {
    for (const error of [systemError('EIO'), systemError('toString'), new Error('EMFILE'), null])
      expect(exhaustedError(error)).toBeNull();
  });
});
