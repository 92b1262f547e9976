#!/usr/bin/env bash
# Genkit's MCP client changes a tool's text on its way to the model. It joins the text blocks of an answer with nothing between them: "exit code 1" and
# "20 files" become "exit code 120 files". Text that is JSON as a whole becomes an object. The manual says so, but not that the values change: of a
# settings file the model gets 3.1 for version 3.10, and a long id ends in zeros. The lines of the file are gone too, so an edit that names the text to
# replace fails. One line in front of the file's text prevents all that. So a server should end every text block with a line break, and not start an
# answer with the content of a file.
#
# Seen with: @genkit-ai/mcp 1.42.0, genkit 1.42.0; server by @modelcontextprotocol/sdk 1.32.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @genkit-ai/mcp@1.42.0 genkit@1.42.0 @modelcontextprotocol/sdk@1.32.2 2>/dev/null

cat >server.mjs <<'JS'
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const file = '{\n  "python": 3.10,\n  "id": 12345678901234567890\n}\n';
const answers = { blocks: ['exit code 1', '20 files'], file: [file], titled: [`settings.json\n${file}`] };
const server = new Server({ name: 'files', version: '1.0.0' }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: Object.keys(answers).map((name) => ({ name, inputSchema: { type: 'object', properties: {} } })),
}));
server.setRequestHandler(CallToolRequestSchema, ({ params }) => ({
  content: answers[params.name].map((text) => ({ type: 'text', text })),
}));
await server.connect(new StdioServerTransport());
JS

cat >client.mjs <<'JS'
import { createMcpHost } from '@genkit-ai/mcp';
import { genkit } from 'genkit';

const ai = genkit({});
const host = createMcpHost({ name: 'reader', mcpServers: { files: { command: process.execPath, args: ['server.mjs'] } } });

// A model that calls the tool once and writes down what it is shown.
const model = ai.defineModel({ name: 'scripted', supports: { tools: true } }, async ({ messages, tools }) => {
  const { role, content } = messages.at(-1);
  const name = tools[0].name;
  if (role === 'tool') console.log(`${name}: ${JSON.stringify(content[0].toolResponse.output)}`);
  const part = role === 'tool' ? { text: 'done' } : { toolRequest: { name, ref: 'call', input: {} } };
  return { message: { role: 'model', content: [part] }, finishReason: 'stop' };
});
for (const tool of await host.getActiveTools(ai)) await ai.generate({ model, prompt: 'go', tools: [tool] });
await host.close();
process.exit();
JS

seen=$(timeout 120 node client.mjs 2>/dev/null)
echo "$seen"
expected='blocks: "exit code 120 files"
file: {"python":3.1,"id":12345678901234567000}
titled: "settings.json\n{\n  \"python\": 3.10,\n  \"id\": 12345678901234567890\n}\n"'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
