/** OpenAI's Agents SDK. Its function tools take what the model writes and return what it reads. */
import { getAllMcpTools, MCPServerStdio, RunContext } from '@openai/agents';
import { shownOf } from './blocks.mjs';

export async function connect({ command, args }) {
  const server = new MCPServerStdio({ name: 'sandbox', command, args });
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
