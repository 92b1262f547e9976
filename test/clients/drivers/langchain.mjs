/**
 * LangChain's adapters. A tool call returns the message for the model; a server error is thrown.
 */
import { MultiServerMCPClient } from '@langchain/mcp-adapters';
import { shownOf } from './blocks.mjs';

export async function connect({ command, args, url, headers }) {
  const sandbox =
    url === undefined
      ? { transport: 'stdio', command, args, stderr: 'ignore' }
      : { transport: 'http', url, headers };
  const client = new MultiServerMCPClient({ mcpServers: { sandbox } });
  const tools = new Map((await client.getTools()).map((tool) => [tool.name, tool]));
  return {
    async call(name, given) {
      const call = { type: 'tool_call', id: 'call', name, args: given };
      const { content } = await tools.get(name).invoke(call);
      if (typeof content === 'string') return { text: content, images: 0 };
      return { ...shownOf(content), images: content.filter(({ type }) => type === 'image_url').length };
    },
    close: () => client.close(),
  };
}
