/** What the server says about itself. */
export const CAPABILITIES = { tools: {} };

export function serverInfo(version: string): { name: string; title: string; version: string } {
  return { name: 'sandbox-mcp', title: 'Sandboxes', version };
}
