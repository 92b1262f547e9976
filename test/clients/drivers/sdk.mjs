/**
 * The SDK's own client, version 1. It returns what the server sends; the program chooses what its model sees.
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { shownOf } from './blocks.mjs';

export async function connect({ command, args, url, headers }) {
  const client = new Client({ name: 'job', version: '1.0.0' });
  const transport =
    url === undefined
      ? new StdioClientTransport({ command, args, stderr: 'ignore' })
      : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  await client.connect(transport);
  return {
    call: async (name, given) => shownOf((await client.callTool({ name, arguments: given })).content),
    close: () => client.close(),
  };
}
