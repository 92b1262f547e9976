import { describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { instructions } from '../../src/server/instructions.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { SessionEnded } from '../../src/shared/session-ended.ts';
import { deferred, serve, textOf, toolOf } from './support/connected-server.ts';

const echo = toolOf('echo', async ({ text, count }) => text?.repeat(count));

describe('a connection', () => {
  it('reports its identity, capabilities and instructions', async () => {
    const { client } = await serve([echo]);
    expect(client.getServerVersion()).toMatchObject({ name: 'sandbox-mcp', version: '1.2.3' });
    expect(client.getServerCapabilities()).toEqual({ tools: {} });
    expect(client.getInstructions()).toBe(instructions(['echo'], ['echo']));
  });

  it('lists tools in order, with their full descriptions', async () => {
    const { client } = await serve([toolOf('second', async () => ''), echo]);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(['second', 'echo']);
    expect(tools[1]).toEqual({
      name: 'echo',
      title: 'echo',
      description: 'The echo tool.',
      inputSchema: {
        type: 'object',
        properties: { text: { type: 'string' }, count: { type: 'integer', default: 1 } },
        additionalProperties: false,
      },
      outputSchema: {
        type: 'object',
        properties: { said: { type: ['string', 'null'] } },
      },
      annotations: { readOnlyHint: true, openWorldHint: false },
      _meta: { 'anthropic/alwaysLoad': true },
    });
  });

  it('answers with data and text', async () => {
    const { client } = await serve([echo]);
    const result = await client.callTool({ name: 'echo', arguments: { text: 'ab', count: 2 } });
    expect(result).toEqual({
      content: [{ type: 'text', text: 'said: abab' }],
      structuredContent: { said: 'abab' },
    });
  });

  it('answers an unknown tool with similar ones', async () => {
    const { client } = await serve([echo]);
    const result = await client.callTool({ name: 'ecko', arguments: {} });
    expect(result.isError).toBe(true);
    expect(textOf(result)).toMatch(/^Error \(not_found\): There is no tool "ecko"\.\nNext step: Call echo\./);
  });

  it('rejects unknown arguments, names the valid ones, and runs nothing', async () => {
    const handle = vi.fn(async () => '');
    const { client } = await serve([toolOf('act', handle)]);
    const result = await client.callTool({ name: 'act', arguments: { txt: 'a' } });
    expect(result.isError).toBe(true);
    expect(result.structuredContent).toBeUndefined();
    expect(textOf(result)).toContain('Unknown argument "txt"; valid ones: text, count. Did you mean text?');
    expect(handle).not.toHaveBeenCalled();
  });

  it('rejects a key that the schemas ignore', async () => {
    const handle = vi.fn(async () => '');
    const { client } = await serve([toolOf('act', handle)]);
    const args = z.custom<Record<string, unknown>>().parse(JSON.parse('{"__proto__":1,"text":"a"}'));
    const result = await client.callTool({ name: 'act', arguments: args });
    expect(result.isError).toBe(true);
    expect(textOf(result)).toContain('Unknown argument "__proto__"; valid ones: text, count.');
    expect(handle).not.toHaveBeenCalled();
  });

  it('takes `_meta` out of the arguments, and its trace context', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const onOutcome = vi.fn();
    const { client } = await serve([echo], { onOutcome });
    const result = await client.callTool({ name: 'echo', arguments: { text: 'ab', _meta: { traceparent } } });
    expect(result.structuredContent).toEqual({ said: 'ab' });
    expect(onOutcome).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ traceParent: traceparent }));
  });

  it('treats null as no arguments, and rejects other non-objects with the next step', async () => {
    const { client } = await serve([echo]);
    const call = (params?: Record<string, unknown>) =>
      client.request({ method: 'tools/call', ...(params && { params }) }, z.looseObject({}));
    expect(await call({ name: 'echo', arguments: null })).toMatchObject({
      structuredContent: { said: 'undefined' },
    });
    for (const [given, shown] of [
      [[], 'a list of 0'],
      ['text', '"text"'],
      [5, '5'],
    ]) {
      const result = await call({ name: 'echo', arguments: given });
      expect(result).toMatchObject({ isError: true });
      expect(textOf(result)).toMatch(/^Error \(invalid_argument\): /);
      expect(textOf(result)).toContain(`\`arguments\` must be an object, not ${String(shown)}.`);
      expect(textOf(result)).toContain('Next step: Correct the arguments of echo');
    }
  });

  it('answers a call without parameters or without a name as a protocol error', async () => {
    const { client } = await serve([echo]);
    const refused = { code: -32_602 };
    await expect(client.request({ method: 'tools/call' }, z.looseObject({}))).rejects.toMatchObject(refused);
    for (const params of [{}, { name: 5 }, { arguments: [] }]) {
      await expect(client.request({ method: 'tools/call', params }, z.looseObject({}))).rejects.toMatchObject(
        refused,
      );
    }
  });

  it('answers a known error with its code, next step and details, as text only', async () => {
    const { client } = await serve([
      toolOf('fail', async () => {
        throw new SandboxError('conflict', 'Sandbox x is stopped.', {
          hint: 'Call y.',
          details: { id: 'x' },
        });
      }),
    ]);
    expect(await client.callTool({ name: 'fail' })).toEqual({
      content: [
        {
          type: 'text',
          text: 'Error (conflict): Sandbox x is stopped.\nNext step: Call y.\nDetails: {"id":"x"}',
        },
      ],
      isError: true,
    });
  });

  it('reports an internal error only by a reference to the log', async () => {
    const { client, logged } = await serve([
      toolOf('break', async () => {
        throw new TypeError('cannot open /secret/place');
      }),
    ]);
    const result = await client.callTool({ name: 'break' });
    const reference = /reference ([0-9a-f]{8})/.exec(textOf(result))?.[1];
    expect(textOf(result)).toContain('internal');
    expect(textOf(result)).not.toContain('secret');
    expect(reference).toBeDefined();
    expect(logged()).toContain(`"reference":"${reference}"`);
    expect(logged()).toContain('cannot open /secret/place');
  });

  it('cancels the handler when the client cancels, and sends no answer', async () => {
    const entered = deferred<AbortSignal>();
    const { client } = await serve([
      toolOf('wait', async (_args, { signal }) => {
        entered.resolve(signal);
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      }),
    ]);
    const controller = new AbortController();
    const call = client.callTool({ name: 'wait' }, undefined, { signal: controller.signal });
    const signal = await entered.promise;
    controller.abort('no longer wanted');
    await expect(call).rejects.toThrow();
    await expect.poll(() => signal.aborted).toBe(true);
    expect(signal.reason).not.toBeInstanceOf(SessionEnded);
  });

  it('ends its calls with the session, and signals the handlers', async () => {
    const entered = deferred<null>();
    let reason: unknown;
    const { client, connection } = await serve([
      toolOf('wait', async (_args, { signal }) => {
        entered.resolve(null);
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        reason = signal.reason;
      }),
    ]);
    const call = client.callTool({ name: 'wait' });
    await entered.promise;
    await connection.endCalls(new SessionEnded());
    expect(reason).toBeInstanceOf(SessionEnded);
    await call;
  });
});

it('a connection starts nothing after the end of the session', async () => {
  const handle = vi.fn(async () => '');
  const { client, connection } = await serve([toolOf('act', handle)]);
  await connection.endCalls(new SessionEnded());
  expect(textOf(await client.callTool({ name: 'act' }))).toContain('Error (cancelled)');
  expect(handle).not.toHaveBeenCalled();
});

describe('progress', () => {
  const chatty = toolOf('chatty', async ({ count }, { progress, wantsProgress }) => {
    for (let index = 1; index <= count; index++) progress(`line ${index}`);
    return wantsProgress;
  });

  it('shows the last line before the answer, throttled', async () => {
    const { client } = await serve([chatty]);
    const lines: string[] = [];
    const result = await client.callTool({ name: 'chatty', arguments: { count: 500 } }, undefined, {
      onprogress: ({ message }) => lines.push(message ?? ''),
    });
    expect(result.structuredContent).toEqual({ said: 'true' });
    expect(lines).toEqual(['line 1', 'line 500']);
  });

  it('is not sent unless requested', async () => {
    const { client } = await serve([chatty]);
    const seen = vi.fn();
    client.fallbackNotificationHandler = async (notification) => seen(notification);
    const result = await client.callTool({ name: 'chatty', arguments: { count: 3 } });
    expect(result.structuredContent).toEqual({ said: 'false' });
    expect(seen).not.toHaveBeenCalled();
  });
});
