#!/usr/bin/env bash
# A tool result may mark a content block with `annotations.audience: ["user"]`: meant for the person and not for the model (MCP 2025-11-25,
# "Annotations"). Three client libraries hand such a block to the model like any other, and drop the annotation on the way, so that nobody further
# on can tell. A server must not count on `audience` to keep text out of the model's context, or to save its tokens.
#
# Seen with: @ai-sdk/mcp 2.0.99, @langchain/mcp-adapters 1.1.4, @openai/agents 0.20.0; server by @modelcontextprotocol/sdk 1.32.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts \
  @ai-sdk/mcp@2.0.99 @langchain/mcp-adapters@1.1.4 @langchain/core@1 @openai/agents@0.20.0 @modelcontextprotocol/sdk@1.32.2 2>/dev/null

cat >server.mjs <<'JS'
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const server = new Server({ name: 'audience', version: '1.0.0' }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: [{ name: 'report', description: 'A report', inputSchema: { type: 'object', properties: {} } }],
}));
server.setRequestHandler(CallToolRequestSchema, () => ({
  content: [
    { type: 'text', text: 'for the person', annotations: { audience: ['user'] } },
    { type: 'text', text: 'for the model', annotations: { audience: ['assistant'] } },
  ],
}));
await server.connect(new StdioServerTransport());
JS

cat >ai-sdk.mjs <<'JS'
import { createMCPClient } from '@ai-sdk/mcp';
import { Experimental_StdioMCPTransport } from '@ai-sdk/mcp/mcp-stdio';

const client = await createMCPClient({
  transport: new Experimental_StdioMCPTransport({ command: process.execPath, args: ['server.mjs'] }),
});
const { report } = await client.tools();
const output = await report.execute({}, { toolCallId: 'call', messages: [] });
console.log(JSON.stringify(await report.toModelOutput({ output, toolCallId: 'call', input: {} })));
await client.close();
JS

cat >langchain.mjs <<'JS'
import { MultiServerMCPClient } from '@langchain/mcp-adapters';

const client = new MultiServerMCPClient({
  mcpServers: { audience: { transport: 'stdio', command: process.execPath, args: ['server.mjs'] } },
});
const [report] = await client.getTools();
const message = await report.invoke({ type: 'tool_call', id: 'call', name: 'report', args: {} });
console.log(JSON.stringify(message.content));
await client.close();
JS

# A model that calls the tool once and writes down what it is shown.
cat >openai-agents.mjs <<'JS'
import { Agent, MCPServerStdio, run, setTracingDisabled, Usage } from '@openai/agents';

setTracingDisabled(true);
const server = new MCPServerStdio({ command: process.execPath, args: ['server.mjs'] });
await server.connect();
const call = { type: 'function_call', callId: 'call', name: 'report', arguments: '{}', status: 'completed' };
const content = [{ type: 'output_text', text: 'done' }];
const answer = { type: 'message', role: 'assistant', status: 'completed', content };
let calls = 0;
const model = {
  async getResponse({ input }) {
    if (calls > 0) console.log(JSON.stringify(input.at(-1).output));
    return { usage: new Usage(), responseId: `response-${calls}`, output: [calls++ === 0 ? call : answer] };
  },
  async *getStreamedResponse() {},
};
await run(new Agent({ name: 'reader', model, mcpServers: [server] }), 'report');
await server.close();
JS

status=0
expect() {
  local name=$1 expected=$2 seen
  seen=$(timeout 120 node "$name.mjs" 2>/dev/null)
  echo "$name: $seen"
  [ "$seen" = "$expected" ] || { echo "$name: changed; before it was $expected" >&2; status=1; }
}
echo "The server answers two blocks, the first for audience [user], the second for [assistant]. The model is given:"
expect ai-sdk '{"type":"content","value":[{"type":"text","text":"for the person"},{"type":"text","text":"for the model"}]}'
expect langchain '[{"type":"text","text":"for the person"},{"type":"text","text":"for the model"}]'
expect openai-agents '[{"type":"input_text","text":"for the person"},{"type":"input_text","text":"for the model"}]'
exit "$status"
