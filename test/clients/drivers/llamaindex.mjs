/** LlamaIndex. Its tools return the whole result, which its agents send to the model as JSON. */
import { mcp } from '@llamaindex/tools';

export async function connect({ command, args }) {
  const server = mcp({ command, args, stderr: 'ignore' });
  const tools = new Map((await server.tools()).map((tool) => [tool.metadata.name, tool]));
  return {
    call: async (name, given) => ({ text: JSON.stringify(await tools.get(name).call(given)), images: 0 }),
    close: () => server.cleanup(),
  };
}
