import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { REPLACES } from '../../tools/common/annotations.ts';
import { MAX_WAIT_MS } from '../../tools/common/schemas.ts';
import { defineTool, type Tool } from '../../tools/common/tool.ts';
import { TOOLS } from '../../tools/index.ts';
import { deferred, serve, textOf, toolOf } from './support/connected-server.ts';

const TIMEOUT = { callMs: 200, beyondWaitMs: 50 };

/** A tool that changes something and never ends by itself. */
function endless(seen: AbortSignal[]): Tool {
  return defineTool({
    name: 'change',
    title: 'Change',
    description: 'Change something.',
    toolsets: ['core'],
    annotations: REPLACES,
    input: z.strictObject({ wait_ms: z.int().optional() }),
    output: z.object({ said: z.string() }),
    handle: (_args, { signal }) => {
      seen.push(signal);
      return new Promise(() => {});
    },
  });
}

describe('a call that the engine does not answer', () => {
  it('is answered in time, and cancelled if it only reads', async () => {
    const stopped = deferred<boolean>();
    const read = toolOf('read', async (_args, { signal }) => {
      signal.addEventListener('abort', () => stopped.resolve(true));
      return new Promise(() => {});
    });
    const { client } = await serve([read], { callTimeout: TIMEOUT });
    const answer = await client.callTool({ name: 'read', arguments: {} });
    expect(answer.isError).toBe(true);
    expect(textOf(answer)).toContain('Error (timeout): No answer to read within 0.2 s.');
    expect(await stopped.promise).toBe(true);
  });

  it('continues if it changes something, until the conversation ends', async () => {
    const seen: AbortSignal[] = [];
    const { client, connection } = await serve([endless(seen)], { callTimeout: TIMEOUT });
    const answer = await client.callTool({ name: 'change', arguments: {} });
    expect(textOf(answer)).toContain('session_info');
    expect(seen.map(({ aborted }) => aborted)).toEqual([false]);
    void connection.endCalls(new Error('over'));
    expect(seen.map(({ aborted }) => aborted)).toEqual([true]);
  });

  it('is answered a moment after its own wait_ms', async () => {
    const { client } = await serve([endless([])], { callTimeout: { callMs: 60_000, beyondWaitMs: 50 } });
    const answer = await client.callTool({ name: 'change', arguments: { wait_ms: 100 } });
    expect(textOf(answer)).toContain('within 0.15 s');
  });
});

describe('a wait that is as long as a call may take', () => {
  const structured = z.object({ structuredContent: z.record(z.string(), z.unknown()) });

  it('ends in time for an answer with the state reached', async () => {
    const { client } = await serve([...TOOLS], { callTimeout: { callMs: 3_050 } });
    const call = async (name: string, args: Record<string, unknown>) =>
      structured.parse(await client.callTool({ name, arguments: args })).structuredContent;
    await call('sandbox_create', {});
    const wait_ms = MAX_WAIT_MS;
    const running = await call('sandbox_run_command', { cmd: 'sleep', wait_ms });
    expect(running).toMatchObject({ status: 'running' });
    const { command_id } = running;
    expect(await call('command_wait', { command_id, wait_ms })).toMatchObject({ status: 'running' });
    expect(await call('command_logs', { command_id, wait_ms })).toMatchObject({ done: false });
    const wait_for = { log: 'never', timeout_ms: MAX_WAIT_MS };
    const started = await call('sandbox_run_command_detached', { cmd: 'sleep', wait_for });
    expect(started).toMatchObject({ status: 'running', ready: false });
    const failed = await client.callTool({
      name: 'sandbox_wait_for_status',
      arguments: { status: 'stopped', timeout_ms: MAX_WAIT_MS },
    });
    expect(textOf(failed)).toMatch(/did not become stopped within \d\d? ms/);
  });
});
