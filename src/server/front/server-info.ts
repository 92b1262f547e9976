/** What the server says about itself. */
export const CAPABILITIES = { tools: {} };

/** The extension in which long calls become tasks. */
export const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks';

/** The same for the modern era. */
export const MODERN_CAPABILITIES = { tools: {}, extensions: { [TASKS_EXTENSION]: {} } };

export function serverInfo(version: string): { name: string; title: string; version: string } {
  return { name: 'sandbox-mcp', title: 'Sandboxes', version };
}
