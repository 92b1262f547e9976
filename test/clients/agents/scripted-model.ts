/**
 * A model on the loopback that calls the tools of a script, one after the other, and records what it is
 * shown. It implements the streaming form of three APIs: chat completions, responses, and generateContent.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { z } from 'zod';

export interface ScriptedCall {
  /** The name of the tool, without the prefix that an agent adds. */
  readonly tool: string;
  readonly given: Record<string, unknown>;
}

export interface ScriptedModel {
  readonly url: string;
  /** What the model was shown of each call. */
  readonly shown: readonly string[];
  /** Resolves when the model has been shown the result of the last call. */
  readonly finished: Promise<void>;
  close(): Promise<void>;
}

interface OfferedTool {
  name: string;
  /** Of the responses API; calls must repeat it. */
  namespace?: string;
}

/** The parts of a request that this model needs, whatever the API. */
interface Conversation {
  tools: OfferedTool[];
  /** The results of tools, oldest first. */
  results: unknown[];
}

interface Dialect {
  readonly path: RegExp;
  read(body: unknown): Conversation;
  /** The lines of the streamed answer: a call, or the closing words. */
  answer(call: (OfferedTool & { given: object; id: string }) | null): string[];
}

const DONE = 'The job is done.';

/** With `silentAtEnd` it does not answer the result of the last call, so that the agent keeps waiting. */
export async function startScriptedModel(
  script: readonly ScriptedCall[],
  { silentAtEnd = false } = {},
): Promise<ScriptedModel> {
  const shown: string[] = [];
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const server = createServer((request, response) => {
    const work = async (): Promise<void> => {
      const answer = await answerTo(request, script, shown);
      if (shown.length === script.length) finish();
      if (shown.length === script.length && silentAtEnd) return;
      send(response, answer);
    };
    work().catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the model has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    shown,
    finished,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The lines of the answer; null for a request of another kind. Adds the new results to `shown`. */
async function answerTo(
  request: IncomingMessage,
  script: readonly ScriptedCall[],
  shown: string[],
): Promise<string[] | null> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  const dialect = DIALECTS.find(({ path }) => path.test(request.url ?? ''));
  if (dialect === undefined) return null;
  const { tools, results } = dialect.read(JSON.parse(body));
  shown.push(...results.slice(shown.length).map(textOf));
  const next = script[results.length];
  // Agents also request titles and summaries, without tools.
  const tool = tools.find(({ name }) => next !== undefined && isTool(name, next.tool));
  const call = next === undefined || tool === undefined ? null : { ...tool, given: next.given };
  return dialect.answer(call && { ...call, id: `call_${results.length}` });
}

function send(response: ServerResponse, lines: readonly string[] | null): void {
  if (lines === null) {
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"data":[]}');
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(lines.map((line) => `data: ${line}\n\n`).join(''));
}

const textParts = z.array(z.looseObject({ text: z.string() }));

/** What the model sees: text, or the JSON of what has no text. */
function textOf(result: unknown): string {
  if (typeof result === 'string') return result;
  const { data } = textParts.safeParse(result);
  return data === undefined ? JSON.stringify(result) : data.map(({ text }) => text).join('\n');
}

/** Agents prefix the server's name. */
function isTool(name: string, tool: string): boolean {
  return name === tool || name.endsWith(`_${tool}`) || name.endsWith(`-${tool}`);
}

const chatBody = z.object({
  tools: z.array(z.object({ function: z.object({ name: z.string() }) })).default([]),
  messages: z.array(z.looseObject({ role: z.string(), content: z.unknown() })),
});

const chatCompletions: Dialect = {
  path: /\/chat\/completions/,
  read(body) {
    const { tools, messages } = chatBody.parse(body);
    return {
      tools: tools.map((tool) => ({ name: tool.function.name })),
      results: messages.filter(({ role }) => role === 'tool').map(({ content }) => content),
    };
  },
  answer(call) {
    const chunk = (delta: object, finish_reason: string | null): string =>
      JSON.stringify({
        id: 'chat',
        object: 'chat.completion.chunk',
        created: 0,
        model: 'scripted',
        choices: [{ index: 0, delta, finish_reason }],
      });
    if (call === null)
      return [chunk({ role: 'assistant', content: DONE }, null), chunk({}, 'stop'), '[DONE]'];
    const fn = { name: call.name, arguments: JSON.stringify(call.given) };
    const delta = {
      role: 'assistant',
      tool_calls: [{ index: 0, id: call.id, type: 'function', function: fn }],
    };
    return [chunk(delta, null), chunk({}, 'tool_calls'), '[DONE]'];
  },
};

const responsesBody = z.object({
  tools: z
    .array(
      z.looseObject({
        name: z.string().optional(),
        tools: z.array(z.looseObject({ name: z.string() })).optional(),
      }),
    )
    .default([]),
  input: z.union([
    z.string(),
    z.array(z.looseObject({ type: z.string().optional(), output: z.unknown().optional() })),
  ]),
});

const responses: Dialect = {
  path: /\/responses/,
  read(body) {
    const { tools, input } = responsesBody.parse(body);
    const items = typeof input === 'string' ? [] : input;
    return {
      tools: tools.flatMap(({ name = '', tools: inner }) =>
        inner === undefined ? [{ name }] : inner.map((each) => ({ name: each.name, namespace: name })),
      ),
      results: items.filter(({ type }) => type === 'function_call_output').map(({ output }) => output),
    };
  },
  answer(call) {
    const item =
      call === null
        ? { type: 'message', role: 'assistant', id: 'msg', content: [{ type: 'output_text', text: DONE }] }
        : {
            type: 'function_call',
            id: call.id,
            call_id: call.id,
            name: call.name,
            ...(call.namespace !== undefined && { namespace: call.namespace }),
            arguments: JSON.stringify(call.given),
          };
    const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };
    return [
      { type: 'response.created', response: { id: 'response' } },
      { type: 'response.output_item.done', output_index: 0, item },
      { type: 'response.completed', response: { id: 'response', output: [item], usage } },
    ].map((event) => JSON.stringify(event));
  },
};

const generateBody = z.object({
  tools: z
    .array(z.looseObject({ functionDeclarations: z.array(z.looseObject({ name: z.string() })).default([]) }))
    .default([]),
  contents: z.array(
    z.object({ parts: z.array(z.looseObject({ functionResponse: z.unknown().optional() })).default([]) }),
  ),
});

const generateContent: Dialect = {
  path: /:(streamG|g)enerateContent/,
  read(body) {
    const { tools, contents } = generateBody.parse(body);
    const parts = contents.flatMap((content) => content.parts);
    return {
      tools: tools.flatMap(({ functionDeclarations }) => functionDeclarations.map(({ name }) => ({ name }))),
      results: parts.filter((part) => part.functionResponse !== undefined),
    };
  },
  answer(call) {
    const part = call === null ? { text: DONE } : { functionCall: { name: call.name, args: call.given } };
    const candidate = { index: 0, content: { role: 'model', parts: [part] }, finishReason: 'STOP' };
    return [JSON.stringify({ candidates: [candidate], usageMetadata: { totalTokenCount: 2 } })];
  },
};

const DIALECTS = [chatCompletions, responses, generateContent];
