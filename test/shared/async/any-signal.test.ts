import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { anySignal } from '../../../src/shared/async/any-signal.ts';

/** The garbage collector, which Node exposes only with a flag. */
function runGc(): void {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  if (typeof gc !== 'function') throw new Error('this Node does not expose the garbage collector');
  gc();
}

describe('a combined signal', () => {
  it('aborts on a timeout that nothing else references', async () => {
    const never = new AbortController().signal;
    const any = anySignal([never, AbortSignal.timeout(100)]);
    const aborted = once(any, 'abort');
    // After a turn of the event loop, nothing on the stack references the limit any more.
    await new Promise(setImmediate);
    runGc();
    await aborted;
    expect(any.reason).toMatchObject({ name: 'TimeoutError' });
  });

  it('aborts with the reason of the first to abort', () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const any = anySignal([first.signal, second.signal]);
    second.abort('enough');
    first.abort('too late');
    expect([any.aborted, any.reason]).toEqual([true, 'enough']);
  });
});
