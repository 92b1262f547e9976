/** OpenAI's Agents SDK. Its function tools take what the model writes and return what it reads. */
import { getAllMcpTools, MCPServerStdio, MCPServerStreamableHttp, RunContext } from '@openai/agents';
import { shownOf } from './blocks.mjs';

export async function connect({ command, args, url, headers }) {
  const server =
    url === undefined
      ? new MCPServerStdio({ name: 'sandbox', command, args })
      : new MCPServerStreamableHttp({ name: 'sandbox', url, requestInit: { headers } });
  await server.connect();
  const tools = new Map((await getAllMcpTools([server])).map((tool) => [tool.name, tool]));
  return {
    async call(name, given) {
      const output = await tools.get(name).invoke(new RunContext(), JSON.stringify(given));
      return typeof output === 'string' ? { text: output, images: 0 } : shownOf([output].flat());
    },
    close: () => server.close(),
  };
}
