import { getEventListeners } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { abortWith, onAbort } from '../../../src/shared/async/on-abort.ts';

describe('onAbort', () => {
  it('calls the listener once when the signal aborts', () => {
    const controller = new AbortController();
    const listener = vi.fn();
    onAbort(controller.signal, listener);
    expect(listener).not.toHaveBeenCalled();
    controller.abort();
    controller.abort();
    expect(listener).toHaveBeenCalledTimes(1);
  });

  it('calls the listener at once for an aborted signal', () => {
    const listener = vi.fn();
    onAbort(AbortSignal.abort(), listener);
    expect(listener).toHaveBeenCalledTimes(1);
  });

  it('leaves no listener behind once released', () => {
    const controller = new AbortController();
    const listener = vi.fn();
    onAbort(controller.signal, listener)();
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    controller.abort();
    expect(listener).not.toHaveBeenCalled();
  });
});

describe('abortWith', () => {
  it('aborts with the reason of the first signal to abort', () => {
    const first = new AbortController();
    const second = new AbortController();
    const { controller } = abortWith(first.signal, second.signal);
    second.abort(new Error('second'));
    first.abort(new Error('first'));
    expect(controller.signal.reason).toEqual(new Error('second'));
  });

  it('stops following once released', () => {
    const source = new AbortController();
    const { controller, release } = abortWith(source.signal);
    release();
    source.abort();
    expect(controller.signal.aborted).toBe(false);
    expect(getEventListeners(source.signal, 'abort')).toEqual([]);
  });
});
