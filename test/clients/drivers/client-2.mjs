/**
 * The SDK's client, version 2. It returns what the server sends; the program chooses what its model sees.
 */
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { shownOf } from './blocks.mjs';

export async function connect({ command, args }) {
  const client = new Client({ name: 'job', version: '1.0.0' });
  await client.connect(new StdioClientTransport({ command, args, stderr: 'ignore' }));
  return {
    call: async (name, given) => shownOf((await client.callTool({ name, arguments: given })).content),
    close: () => client.close(),
  };
}
