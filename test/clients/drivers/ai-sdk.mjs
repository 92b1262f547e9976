/** Vercel's AI SDK. Its tools convert an answer for the model by `toModelOutput`. */
import { createMCPClient } from '@ai-sdk/mcp';
import { Experimental_StdioMCPTransport as StdioTransport } from '@ai-sdk/mcp/mcp-stdio';
import { shownOf } from './blocks.mjs';

export async function connect({ command, args, url, headers }) {
  const transport =
    url === undefined
      ? new StdioTransport({ command, args, stderr: 'ignore' })
      : { type: 'http', url, headers };
  const client = await createMCPClient({ transport });
  const tools = await client.tools();
  return {
    async call(name, given) {
      const options = { toolCallId: 'call', messages: [] };
      const output = await tools[name].execute(given, options);
      const { type, value } = await tools[name].toModelOutput({ ...options, input: given, output });
      if (type !== 'content') return { text: JSON.stringify(value), images: 0 };
      const { text } = shownOf(value);
      return { text, images: value.filter((part) => part.type === 'file').length };
    },
    close: () => client.close(),
  };
}
