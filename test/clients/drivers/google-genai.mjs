/** Google's SDK wraps a client of the MCP SDK. The parts of its answers go to the model. */
import { mcpToTool } from '@google/genai';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

export async function connect({ command, args, url, headers }) {
  const client = new Client({ name: 'job', version: '1.0.0' });
  const transport =
    url === undefined
      ? new StdioClientTransport({ command, args, stderr: 'ignore' })
      : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  await client.connect(transport);
  const tool = mcpToTool(client);
  await tool.tool();
  return {
    async call(name, given) {
      const [part] = await tool.callTool([{ name, args: given }]);
      const { response, parts = [] } = part.functionResponse;
      return { text: JSON.stringify(response), images: parts.length };
    },
    close: () => client.close(),
  };
}
