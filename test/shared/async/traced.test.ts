import { describe, expect, it, onTestFinished } from 'vitest';
import { onSpan, publish, type Span, traced, tracedCall } from '../../../src/shared/async/traced.ts';

function collect(): Span[] {
  const spans: Span[] = [];
  onTestFinished(onSpan((span) => spans.push(span)));
  return spans;
}

describe('spans', () => {
  it('have the layer, the name, and the call that they belong to', async () => {
    const spans = collect();
    const work = () => tracedCall('call', () => traced('engine', 'step', async () => 'result'));
    expect(await Promise.all([work(), work()])).toEqual(['result', 'result']);
    publish('front', 'outside', 0);
    const [first, second] = spans.filter(({ name }) => name === 'step').map(({ call }) => call);
    expect(first).toBeGreaterThan(0);
    expect(second).not.toBe(first);
    expect(spans.filter(({ name }) => name === 'call').map(({ call }) => call)).toEqual([first, second]);
    expect(spans.at(-1)).toMatchObject({ layer: 'front', name: 'outside', startMs: 0, call: 0 });
  });

  it('end with a failure, which is passed on', async () => {
    const spans = collect();
    const failing = traced('agent', 'step', async () => {
      throw new Error('refused');
    });
    await expect(failing).rejects.toThrow('refused');
    expect(spans).toHaveLength(1);
  });

  it('are not published to a listener that has left', async () => {
    const spans: Span[] = [];
    onSpan((span) => spans.push(span))();
    expect(await traced('agent', 'step', async () => 1)).toBe(1);
    expect(spans).toEqual([]);
  });
});
