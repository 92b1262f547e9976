/** Mastra. Its tools convert an answer for the model by `toModelOutput` if they have it. */
import { MCPClient } from '@mastra/mcp';

export async function connect({ command, args, url, headers }) {
  const sandbox =
    url === undefined ? { command, args, stderr: 'ignore' } : { url: new URL(url), requestInit: { headers } };
  const client = new MCPClient({ servers: { sandbox } });
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
