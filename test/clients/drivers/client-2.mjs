/**
 * The SDK's client, version 2. It returns what the server sends; the program chooses what its model sees.
 */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { shownOf } from './blocks.mjs';

/** `mode` is how it agrees with the server on a revision of the protocol. */
export async function connect({ command, args, url, headers, mode }) {
  const client = new Client({ name: 'job', version: '1.0.0' }, { versionNegotiation: { mode } });
  const transport =
    url === undefined
      ? new StdioClientTransport({ command, args, stderr: 'ignore' })
      : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  await client.connect(transport);
  return {
    call: async (name, given) => shownOf((await client.callTool({ name, arguments: given })).content),
    close: () => client.close(),
    revision: () => client.getNegotiatedProtocolVersion(),
  };
}
