import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { TOOLSETS } from '../../src/config/config.ts';
import { FrontAnswers, type FrontConfig } from '../../src/server/front/answers.ts';
import { answerFirst, type Handover } from '../../src/server/front/front.ts';
import { prebuiltList } from '../../src/server/front/prebuilt-list.ts';
import { serveStdio } from '../../src/server/stdio/serve-stdio.ts';
import { createLogger } from '../../src/shared/log.ts';
import { TOOLS } from '../../tools/index.ts';
import { openWorld } from '../registry/support/registry.ts';
import { config } from './support/connected-server.ts';

const VERSION = '1.2.3';
const LIST = prebuiltList(TOOLS);
const PROCESS = { ppid: 1, on: () => {}, off: () => {}, exit: () => {} };

const initialize = (params: object = {}, id: unknown = 0) => ({
  jsonrpc: '2.0',
  id,
  method: 'initialize',
  params: {
    protocolVersion: '2025-06-18',
    capabilities: {},
    clientInfo: { name: 'test', version: '1' },
    ...params,
  },
});
const INITIALIZED = { jsonrpc: '2.0', method: 'notifications/initialized' };
const PING = { jsonrpc: '2.0', id: 'ping', method: 'ping' };
const TOOLS_LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
const START = [initialize(), INITIALIZED, PING, TOOLS_LIST];

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {
    elicitation: { form: {} },
    extensions: { 'io.modelcontextprotocol/tasks': {} },
  },
};
/** A request of the revision 2026-07-28. */
const modern = (method: string, id: unknown, params: object = {}, meta: object = {}) => ({
  jsonrpc: '2.0',
  id,
  method,
  params: { ...params, _meta: { ...META, ...meta } },
});
const CLAUDE_CODE = {
  name: 'claude-code',
  title: 'Claude Code',
  version: '2.1.289',
  description: 'A tool for code',
  websiteUrl: 'not checked',
};
const DISCOVER = modern('server/discover', 'd');
const MODERN_LIST = modern('tools/list', 2);

type Line = string | object;

/** Every line that is answered to these, sorted; and how many of them the front answered. */
async function converse(
  lines: readonly Line[],
  chosen: Partial<FrontConfig>,
  withFront: boolean,
): Promise<{ answers: string[]; byFront: number }> {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const settings = { ...config, ...chosen };
  const answers: string[] = [];
  const reader = createInterface({ input: output }).on('line', (line) => answers.push(line));
  const last = (): boolean => answers.some((line) => line.includes('"id":"last"'));
  for (const line of [...lines, { ...PING, id: 'last', params: { _meta: META } }])
    input.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`);
  let handover: Handover | null = null;
  let byFront = 0;
  if (withFront) {
    handover = await answerFirst({
      answers: new FrontAnswers(LIST, settings, VERSION),
      input,
      output,
      process: PROCESS,
      end: () => {},
    });
    byFront = answers.length;
  }
  const session = openWorld().registry.openSession('local');
  const served = serveStdio({
    session,
    tools: TOOLS,
    config: settings,
    log: createLogger('silent'),
    version: VERSION,
    input,
    output,
    process: PROCESS,
    handover,
  });
  while (!last()) await once(reader, 'line');
  input.end();
  await served;
  return { answers: answers.sort(), byFront };
}

/** The front and the server together answer what the server alone answers. */
async function expectSame(lines: readonly Line[], chosen: Partial<FrontConfig> = {}): Promise<number> {
  const alone = await converse(lines, chosen, false);
  const together = await converse(lines, chosen, true);
  expect(together.answers).toEqual(alone.answers);
  return together.byFront;
}

describe('the front', () => {
  it.each([
    'all' as const,
    ...TOOLSETS.map((name) => [name]),
    ['core', 'files'] as const,
    ['session', 'shells'] as const,
  ])('answers as the server does, with the toolsets %s', async (toolsets) => {
    for (const readOnly of [false, true]) {
      for (const answers of ['auto', 'both', 'text', 'json'] as const)
        expect(await expectSame(START, { toolsets, readOnly, answers })).toBe(3);
    }
  });

  it.each(['copilot-cli', 'qwen-cli-mcp-client-mine', 'mcp-client-cli', 'codex-mcp-client', ''])(
    'answers the client %j in its form',
    async (name) => {
      const first = initialize({ clientInfo: { name, version: '1', title: 'A client' } });
      expect(await expectSame([first, INITIALIZED, TOOLS_LIST])).toBe(2);
    },
  );

  it('answers agent programs that say more about themselves', async () => {
    const claude = initialize({
      clientInfo: CLAUDE_CODE,
      capabilities: { roots: { listChanged: true }, elicitation: { form: {}, url: {} } },
    });
    expect(await expectSame([claude, INITIALIZED, TOOLS_LIST])).toBe(2);
    const codex = initialize({
      clientInfo: { name: 'codex-mcp-client', title: 'Codex', version: '0.171.0' },
      capabilities: { experimental: { 'codex/auth-change': {} }, elicitation: { form: {}, url: {} } },
    });
    for (const progressToken of [0, 'list'])
      expect(
        await expectSame([codex, INITIALIZED, { ...TOOLS_LIST, params: { _meta: { progressToken } } }]),
      ).toBe(2);
    const _meta = { ...META, 'io.modelcontextprotocol/clientInfo': CLAUDE_CODE };
    const requests = [DISCOVER, MODERN_LIST].map((request) => ({ ...request, params: { _meta } }));
    expect(await expectSame(requests)).toBe(2);
  });

  it.each(['2024-10-07', '2024-11-05', '2025-03-26', '2025-11-25', '1999-01-01', ''])(
    'negotiates protocol version %j',
    async (protocolVersion) => {
      const capabilities = { roots: { listChanged: true }, sampling: {}, elicitation: {} };
      expect(await expectSame([initialize({ protocolVersion, capabilities }, 'ü"'), TOOLS_LIST])).toBe(2);
    },
  );

  it.each<[string, Line[], number]>([
    ['no JSON', ['{"jsonrpc"', ...START], 0],
    ['an empty line', ['', ...START], 0],
    ['a batch', [[initialize()], ...START], 0],
    ['a list before the start', [TOOLS_LIST, ...START], 0],
    ['a ping before the start', [PING, ...START], 0],
    ['a second start', [initialize(), initialize({}, 5), TOOLS_LIST], 1],
    ['an id that is null', [initialize({}, null), ...START], 0],
    ['an id that is a fraction', [initialize({}, 1.5), ...START], 0],
    ['no protocol version', [initialize({ protocolVersion: 7 }), ...START], 0],
    ['no capabilities', [initialize({ capabilities: [] }), ...START], 0],
    ['roots that are no object', [initialize({ capabilities: { roots: true } }), ...START], 0],
    [
      'listChanged that is null',
      [initialize({ capabilities: { roots: { listChanged: null } } }), ...START],
      0,
    ],
    ['unknown capabilities', [initialize({ capabilities: { other: {} } }), ...START], 0],
    [
      'experiments with settings',
      [initialize({ capabilities: { experimental: { a: { b: 1 } } } }), ...START],
      0,
    ],
    [
      'experiments that are no objects',
      [initialize({ capabilities: { experimental: { a: 1 } } }), ...START],
      0,
    ],
    ['no client', [initialize({ clientInfo: undefined }), ...START], 0],
    ['a client without a version', [initialize({ clientInfo: { name: 'a' } }), ...START], 0],
    [
      'a client with icons',
      [initialize({ clientInfo: { name: 'a', version: '1', icons: [] } }), TOOLS_LIST],
      0,
    ],
    ['a list with a cursor', [initialize(), { ...TOOLS_LIST, params: { cursor: 'x' } }, PING], 1],
    ['a list with a wrong cursor', [initialize(), { ...TOOLS_LIST, params: { cursor: 5 } }, PING], 1],
    ['a list with parameters that are no object', [initialize(), { ...TOOLS_LIST, params: [] }], 1],
    ['a list with other _meta', [initialize(), { ...TOOLS_LIST, params: { _meta: { a: 1 } } }], 1],
    [
      'a list with a wrong progress token',
      [initialize(), { ...TOOLS_LIST, params: { _meta: { progressToken: 1.5 } } }],
      1,
    ],
    [
      'a description that is no text',
      [initialize({ clientInfo: { ...CLAUDE_CODE, description: 1 } }), ...START],
      0,
    ],
    ['another version of JSON-RPC', [initialize(), { ...TOOLS_LIST, jsonrpc: '1.0' }], 1],
    ['an unknown method', [initialize(), { ...TOOLS_LIST, method: 'resources/list' }, TOOLS_LIST], 1],
    ['an unknown notification', [initialize(), { ...INITIALIZED, method: 'notifications/x' }, TOOLS_LIST], 1],
    [
      'a call first',
      [
        initialize(),
        { jsonrpc: '2.0', id: 8, method: 'tools/call', params: { name: 'sandbox_lst' } },
        TOOLS_LIST,
      ],
      1,
    ],
    ['a long line', [initialize(), `{"a":"${'x'.repeat(100_000)}"}`, TOOLS_LIST], 1],
  ])('leaves %s to the server', async (_name, lines, byFront) => {
    expect(await expectSame(lines)).toBe(byFront);
  });

  it.each(['auto', 'both', 'text', 'json'] as const)(
    'answers as the server does in the modern era, with the answers %s',
    async (answers) => {
      for (const toolsets of ['all', ['core']] as const)
        expect(await expectSame([DISCOVER, MODERN_LIST], { toolsets, answers })).toBe(2);
    },
  );

  it('answers the modern era the same whoever asks', async () => {
    const named = (name: string) =>
      modern('tools/list', 2, {}, { 'io.modelcontextprotocol/clientInfo': { name, version: '1' } });
    const [some, other] = await Promise.all(
      ['test', '@langchain/mcp-adapters'].map((name) => converse([named(name)], {}, true)),
    );
    expect(some).toEqual(other);
  });

  it.each<[string, Line[], number]>([
    ['an era chosen after a question for the revisions', [DISCOVER, ...START], 4],
    ['questions for the revisions alone', [DISCOVER, DISCOVER], 2],
    ['an initialize in the modern era', [MODERN_LIST, initialize()], 1],
    ['a modern request in the legacy era', [initialize(), MODERN_LIST], 1],
    [
      'a revision that nobody knows',
      [modern('tools/list', 2, {}, { 'io.modelcontextprotocol/protocolVersion': '2030-01-01' }), MODERN_LIST],
      0,
    ],
    [
      'a list without capabilities',
      [modern('tools/list', 2, {}, { 'io.modelcontextprotocol/clientCapabilities': undefined }), MODERN_LIST],
      0,
    ],
    ['a list that reports progress', [modern('tools/list', 2, {}, { progressToken: 1 }), MODERN_LIST], 0],
    ['a list with a cursor', [modern('tools/list', 2, { cursor: 'x' }), MODERN_LIST], 0],
    ['a modern call first', [DISCOVER, modern('tools/call', 8, { name: 'sandbox_lst' }), MODERN_LIST], 1],
    [
      'a subscription',
      [modern('subscriptions/listen', 8, { notifications: { toolsListChanged: true } }), MODERN_LIST],
      0,
    ],
    [
      'a modern notification first',
      [
        { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1, _meta: META } },
        MODERN_LIST,
      ],
      0,
    ],
  ])('leaves %s to the server', async (_name, lines, byFront) => {
    expect(await expectSame(lines)).toBe(byFront);
  });

  it('calls for the end when the input ends', async () => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    const answers = new FrontAnswers(LIST, config, VERSION);
    const ended = new Promise<void>((resolve) => {
      void answerFirst({ answers, input, output, process: PROCESS, end: resolve });
    });
    input.end(`${JSON.stringify(initialize())}\n`);
    await ended;
    expect(String(output.read())).toContain('"protocolVersion":"2025-06-18"');
  });
});
