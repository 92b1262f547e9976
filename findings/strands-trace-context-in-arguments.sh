#!/usr/bin/env bash
# As soon as an application traces with OpenTelemetry, the Strands SDK adds a property `_meta` with the trace context to the arguments of every MCP tool
# call, beside what the model wrote. The protocol's place for it is the request's own `_meta`, next to `arguments`, and that stays empty. A tool whose
# schema allows no other properties then refuses every call, and the model reads that it sent a key which it never wrote. Nothing of this shows while
# tracing is off, as it usually is on a developer's machine. So a server with strict schemas should take `_meta` out of the arguments before it checks
# them, and can read the trace context from there.
#
# Seen with: @strands-agents/sdk 1.19.0, @opentelemetry/sdk-trace-node 2.12.1; server by @modelcontextprotocol/sdk 1.32.2; Node 24.22.3, since Strands
# needs 22 or newer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @strands-agents/sdk@1.19.0 @opentelemetry/api@1.9.1 @opentelemetry/sdk-trace-node@2.12.1 \
  @modelcontextprotocol/sdk@1.32.2 zod@4.6.7 2>/dev/null
node=node
if [ "$(node -p 'process.versions.node.split(".")[0] >= 22')" != true ]; then
  npm install --silent --no-audit --no-fund --ignore-scripts "node-linux-$(node -p process.arch)@24.22.3" 2>/dev/null
  node=$(echo "$folder"/node_modules/node-linux-*/bin/node)
fi

# Two tools, which answer the names of the properties that they got: one allows no others, one takes any.
cat >server.mjs <<'JS'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const mcp = new McpServer({ name: 'commands', version: '1.0.0' });
const run = (args, { _meta }) => {
  const text = `arguments ${Object.keys(args).join(', ')}; trace context of the request: ${_meta?.traceparent ?? 'none'}`;
  return { content: [{ type: 'text', text }] };
};
mcp.registerTool('strict', { inputSchema: z.strictObject({ cmd: z.string() }) }, run);
mcp.registerTool('loose', { inputSchema: z.looseObject({ cmd: z.string() }) }, run);
await mcp.connect(new StdioServerTransport());
JS

cat >client.mjs <<'JS'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { Agent, McpClient, Model } from '@strands-agents/sdk';

// A model that calls the tool once and writes down what it is shown.
class Scripted extends Model {
  constructor(tool) {
    super();
    this.tool = tool;
  }
  updateConfig() {}
  getConfig() {
    return { modelId: 'scripted' };
  }
  async *stream(messages) {
    const result = messages.at(-1).content.find(({ type }) => type === 'toolResultBlock');
    this.shown = result && `${result.status}, ${result.content.map(({ text }) => text).join()}`;
    const start = { type: 'toolUseStart', name: this.tool, toolUseId: 'call' };
    const input = { type: 'toolUseInputDelta', input: '{"cmd":"ls"}' };
    yield { type: 'modelMessageStartEvent', role: 'assistant' };
    yield { type: 'modelContentBlockStartEvent', ...(!result && { start }) };
    yield { type: 'modelContentBlockDeltaEvent', delta: result ? { type: 'textDelta', text: 'done' } : input };
    yield { type: 'modelContentBlockStopEvent' };
    yield { type: 'modelMessageStopEvent', stopReason: result ? 'endTurn' : 'toolUse' };
  }
}

const transport = new StdioClientTransport({ command: process.execPath, args: ['server.mjs'] });
const client = new McpClient({ transport });
for (const tracing of ['without tracing', 'with tracing']) {
  if (tracing === 'with tracing') new NodeTracerProvider().register();
  for (const tool of ['strict', 'loose']) {
    const model = new Scripted(tool);
    await new Agent({ model, tools: [client], printer: false }).invoke('go');
    console.log(`${tracing}, ${tool} tool: ${model.shown}`);
  }
}
await client.disconnect();
process.exit();
JS

seen=$(timeout 120 "$node" client.mjs)
echo "$seen"
expected='without tracing, strict tool: success, arguments cmd; trace context of the request: none
without tracing, loose tool: success, arguments cmd; trace context of the request: none
with tracing, strict tool: error, MCP error -32602: Input validation error: Invalid arguments for tool strict: Unrecognized key: "_meta"
with tracing, loose tool: success, arguments cmd, _meta; trace context of the request: none'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
