/** Over the standard streams the process is the session in both eras: what is current, whom it asks, and its tasks. */
import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { Client, type JSONRPCMessage, type Transport } from '@modelcontextprotocol/client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { serveStdio } from '../../src/server/stdio/serve-stdio.ts';
import { createLogger } from '../../src/shared/log.ts';
import { TOOLS } from '../../tools/index.ts';
import { openWorld, type World } from '../registry/support/registry.ts';
import { REVISION } from './http/support/newest-client.ts';
import { config } from './support/connected-server.ts';

const ERAS = [
  ['legacy', 'legacy'],
  ['modern', { pin: REVISION }],
] as const;
type Mode = (typeof ERAS)[number][1];

const Answer = z.looseObject({
  content: z.array(z.looseObject({ text: z.string() })),
  structuredContent: z.record(z.string(), z.unknown()).default({}),
});
const Reply = z.looseObject({ id: z.number(), result: z.record(z.string(), z.unknown()) });

/** A server of its own, as each client of the standard streams starts one. Ended with the test. */
function startServer({ registry }: World): { input: PassThrough; output: PassThrough } {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const served = serveStdio({
    session: registry.openSession('local'),
    tools: TOOLS,
    config,
    log: createLogger('silent'),
    version: '1.2.3',
    input,
    output,
    process: Object.assign(new EventEmitter(), { ppid: 1, exit: () => {} }),
  });
  onTestFinished(async () => {
    input.end();
    await served;
  });
  return { input, output };
}

class StreamTransport implements Transport {
  onmessage?: (message: JSONRPCMessage) => void;
  onclose?: () => void;
  readonly #server: ReturnType<typeof startServer>;

  constructor(server: ReturnType<typeof startServer>) {
    this.#server = server;
  }

  async start(): Promise<void> {
    createInterface({ input: this.#server.output }).on('line', (line) => this.onmessage?.(JSON.parse(line)));
  }

  async send(message: JSONRPCMessage): Promise<void> {
    this.#server.input.write(`${JSON.stringify(message)}\n`);
  }

  async close(): Promise<void> {
    this.onclose?.();
  }
}

/** A client with a server of its own, whose user answers in turn. */
async function connect(world: World, mode: Mode, ...answers: ('accept' | 'decline')[]) {
  const questions: string[] = [];
  const client = new Client(
    { name: 'test', version: '1' },
    { versionNegotiation: { mode }, capabilities: { elicitation: { form: {} } } },
  );
  client.setRequestHandler('elicitation/create', ({ params }) => {
    questions.push(params.message);
    const action = answers.shift() ?? 'cancel';
    return action === 'accept' ? { action, content: {} } : { action };
  });
  await client.connect(new StreamTransport(startServer(world)));
  onTestFinished(() => client.close());
  const call = async (name: string, args: Record<string, unknown> = {}) => {
    const { structuredContent, content } = Answer.parse(await client.callTool({ name, arguments: args }));
    return { ...structuredContent, text: content.map(({ text }) => text).join('\n') };
  };
  return { call, questions };
}

describe.each(ERAS)('over the standard streams, in the era %s', (_era, mode) => {
  it('a sandbox is current in the process that created it, and in no other', async () => {
    const world = openWorld();
    const [one, two] = [await connect(world, mode), await connect(world, mode)];
    const { text } = await one.call('sandbox_create');
    const [id = ''] = /sbx_\w+/.exec(text) ?? [];
    expect((await one.call('sandbox_get')).text).toContain(id);
    expect((await two.call('sandbox_get')).text).toContain('no current sandbox');
    expect((await two.call('sandbox_get', { sandbox_id: id })).text).toContain('running');
  });

  it('the user is asked before a sandbox of another process is stopped', async () => {
    const world = openWorld();
    const owner = await connect(world, mode);
    const created = await owner.call('sandbox_create');
    const sandbox = { sandbox_id: Reflect.get(created, 'sandbox_id'), blocking: true };
    const other = await connect(world, mode, 'decline', 'accept');
    expect((await other.call('sandbox_stop', sandbox)).text).toContain('nothing was done');
    expect(await owner.call('sandbox_get')).toMatchObject({ status: 'running' });
    expect(await other.call('sandbox_stop', sandbox)).toMatchObject({ status: 'stopped' });
    expect(other.questions).toHaveLength(2);
    expect(owner.questions).toEqual([]);
  });
});

it('over the standard streams, a long command becomes a task that can be cancelled', async () => {
  const { input, output } = startServer(openWorld());
  const lines = createInterface({ input: output });
  let id = 0;
  const send = async (method: string, params: Record<string, unknown>): Promise<Record<string, unknown>> => {
    id += 1;
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': REVISION,
      'io.modelcontextprotocol/clientCapabilities': {
        extensions: { 'io.modelcontextprotocol/tasks': {} },
      },
    };
    const replied = once(lines, 'line');
    input.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params: { ...params, _meta } })}\n`);
    const reply = Reply.parse(JSON.parse(String((await replied)[0])));
    expect(reply.id).toBe(id);
    return reply.result;
  };
  const call = (name: string, given: object) => send('tools/call', { name, arguments: given });
  await call('sandbox_create', {});
  const { resultType, taskId } = await call('sandbox_run_command', { cmd: 'sleep', wait_ms: 0 });
  expect([resultType, taskId]).toEqual(['task', expect.stringMatching(/^cmd_/)]);
  expect(await send('tasks/get', { taskId })).toMatchObject({ status: 'working' });
  await send('tasks/cancel', { taskId });
  await expect.poll(() => send('tasks/get', { taskId })).toMatchObject({ status: 'cancelled' });
  expect(await call('sandbox_get_command', { command_id: taskId })).toMatchObject({
    structuredContent: { status: 'finished', ended_by: 'cancelled' },
  });
});
