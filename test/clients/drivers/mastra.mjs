/** Mastra. Its tools convert an answer for the model by `toModelOutput` if they have it. */
import { MCPClient } from '@mastra/mcp';

export async function connect({ command, args }) {
  const client = new MCPClient({ servers: { sandbox: { command, args, stderr: 'ignore' } } });
  const tools = await client.listTools();
  return {
    async call(name, given) {
      const tool = tools[`sandbox_${name}`];
      const output = await tool.execute(given, {});
      const shown = tool.toModelOutput?.(output) ?? output;
      return { text: shown?.type === 'text' ? shown.value : JSON.stringify(shown), images: 0 };
    },
    close: () => client.disconnect(),
  };
}
