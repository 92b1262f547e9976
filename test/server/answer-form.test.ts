import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { READ_ONLY } from '../../tools/common/annotations.ts';
import { defineTool, type Tool } from '../../tools/common/tool.ts';
import { serve, toolOf } from './support/connected-server.ts';

const echo = toolOf('echo', async ({ text }) => text);

const picture: Tool = defineTool({
  name: 'picture',
  title: 'Picture',
  description: 'Show a picture.',
  toolsets: ['core'],
  annotations: READ_ONLY,
  input: z.strictObject({}),
  output: z.object({ width: z.int() }),
  showsImages: true,
  handle: async () => ({
    structured: { width: 1 },
    image: { data: Buffer.from('bytes'), mimeType: 'image/png' },
  }),
});

const IMAGE = { type: 'image', data: Buffer.from('bytes').toString('base64'), mimeType: 'image/png' };

async function answered(options: Parameters<typeof serve>[1], name: string) {
  const { client } = await serve([echo, picture], options);
  const { tools } = await client.listTools();
  const args = name === 'echo' ? { text: 'line 1\nline 2' } : {};
  // The client rejects a result that does not match the tool's output schema.
  const result = CallToolResultSchema.parse(await client.callTool({ name, arguments: args }));
  return { result, hasSchema: tools.map(({ outputSchema }) => outputSchema !== undefined) };
}

const DATA = { said: 'line 1\nline 2' };
const READABLE = { type: 'text', text: 'said: "line 1\\nline 2"' };
const JSON_TEXT = { type: 'text', text: JSON.stringify(DATA) };

const FORMS = {
  both: { content: [READABLE], structuredContent: DATA },
  json: { content: [JSON_TEXT], structuredContent: DATA },
  text: { content: [READABLE] },
};

describe('an answer', () => {
  it.each([
    ['test', 'both'],
    ['codex-mcp-client', 'both'],
    ['claude-code', 'both'],
    ['copilot-cli', 'json'],
    ['qwen-cli-mcp-client-sandbox', 'json'],
    ['@langchain/mcp-adapters', 'text'],
    ['mcp-client-cli', 'text'],
    ['copilot-cli (via mcp-remote 0.15.1)', 'json'],
    ['qwen-cli-mcp-client-sandbox (via mcp-remote 0.15.1)', 'json'],
    ['codex-mcp-client (via mcp-remote 0.15.1)', 'both'],
  ] as const)('is sent to %s as %s', async (clientName, form) => {
    const { result, hasSchema } = await answered({ clientName }, 'echo');
    expect(result).toEqual(FORMS[form]);
    // A client that validates would refuse an image without the data that a schema promises.
    expect(hasSchema).toEqual([form !== 'text', false]);
  });

  it.each(['both', 'json', 'text'] as const)('is sent as %s with --answers', async (answers) => {
    for (const clientName of ['test', 'qwen-cli-mcp-client-sandbox', '@langchain/mcp-adapters']) {
      const { result } = await answered({ clientName, answers }, 'echo');
      expect(result).toEqual(FORMS[answers]);
    }
  });

  it('is sent as the JSON that the client compares with', async () => {
    const { result } = await answered({ answers: 'json' }, 'echo');
    expect(result.content).toEqual([{ type: 'text', text: JSON.stringify(result.structuredContent) }]);
  });

  it.each(['both', 'json', 'text'] as const)(
    'has an image without the data, behind which clients hide it, in the form %s',
    async (answers) => {
      const { result } = await answered({ clientName: 'test', answers }, 'picture');
      const text = answers === 'json' ? '{"width":1}' : 'width: 1';
      expect(result).toEqual({ content: [{ type: 'text', text }, IMAGE] });
    },
  );
});
