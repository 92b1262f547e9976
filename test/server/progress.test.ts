import { describe, expect, it } from 'vitest';
import { createProgress, type ProgressNotification } from '../../src/server/progress.ts';
import { FakeClock } from '../registry/support/registry.ts';

function recorded(): { sent: ProgressNotification[]; send: (each: ProgressNotification) => Promise<void> } {
  const sent: ProgressNotification[] = [];
  return { sent, send: async (each) => void sent.push(each) };
}

describe('progress', () => {
  it('numbers what it sends and skips updates in between', async () => {
    const clock = new FakeClock();
    const { sent, send } = recorded();
    const progress = createProgress('token', send, clock);
    progress.report('one');
    progress.report('two');
    progress.report('three');
    clock.advance(300);
    progress.report('four');
    await progress.close();
    expect(sent).toEqual([
      { progressToken: 'token', progress: 1, message: 'one' },
      { progressToken: 'token', progress: 2, message: 'three' },
      { progressToken: 'token', progress: 3, message: 'four' },
    ]);
  });

  it('sends nothing after it is closed', async () => {
    const clock = new FakeClock();
    const { sent, send } = recorded();
    const progress = createProgress(7, send, clock);
    progress.report('one');
    await progress.close();
    progress.report('two');
    clock.advance(10_000);
    expect(sent).toHaveLength(1);
  });

  it('survives a disconnected client', async () => {
    const progress = createProgress(
      1,
      async () => {
        throw new Error('Not connected');
      },
      new FakeClock(),
    );
    progress.report('one');
    await expect(progress.close()).resolves.toBeUndefined();
  });

  it('leaves time between the last line and the answer', async () => {
    const { send } = recorded();
    const progress = createProgress(1, send, new FakeClock());
    progress.report('one');
    const reported = performance.now();
    await progress.close();
    // Ten, of which timers may take off one and the clock's start another.
    expect(performance.now() - reported).toBeGreaterThan(8);
  });

  it('keeps a notification small', async () => {
    const { sent, send } = recorded();
    const progress = createProgress(1, send, new FakeClock());
    progress.report('x'.repeat(100_000));
    await progress.close();
    expect(sent[0]?.message.length).toBeLessThan(400);
  });

  it('never cuts a character', async () => {
    const { sent, send } = recorded();
    const progress = createProgress(1, send, new FakeClock());
    progress.report(`${'x'.repeat(299)}😀😀`);
    await progress.close();
    expect(sent[0]?.message).toBe(`${'x'.repeat(299)}…`);
  });
});
