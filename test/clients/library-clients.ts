/** How version 2 of the SDK's client agrees with a server on a revision of the protocol. */
export type Mode = 'legacy' | 'auto' | { readonly pin: string };

/** The client libraries that the job runs through, pinned. */
export interface LibraryClient {
  readonly name: string;
  /** Its usual name. */
  readonly title: string;
  /** Exact versions. The first is the client. */
  readonly packages: readonly string[];
  /** A file of `drivers/`. */
  readonly driver: string;
  readonly mode?: Mode;
  /** False if its driver knows the standard streams only. */
  readonly http?: false;
  /** False if its driver knows HTTP only. */
  readonly stdio?: false;
  /** True if it has to be closed to end: each call is a client of its own, or a bridge stands between. */
  readonly endsByClose?: true;
  /** True if it needs a newer Node than 20. */
  readonly needsNewerNode?: boolean;
  /** What docs/clients.md recommends for it. */
  readonly serverArgs?: readonly string[];
  /** True if it checks arguments itself and rejects null for an optional one. */
  readonly refusesNulls?: boolean;
  /** What its model gets instead of an image, if it does not get the image. */
  readonly imageBecomes?: 'base64';
  /** True if it returns the whole result to the program, which chooses what its model sees. */
  readonly raw?: boolean;
}

/** The Node version for clients that need a newer one than this project. */
export const NEWER_NODE = `node-linux-${process.arch}@24.22.3`;

export const LIBRARY_CLIENTS: readonly LibraryClient[] = [
  {
    name: 'sdk-1.12',
    title: 'MCP TypeScript SDK 1.12',
    packages: ['@modelcontextprotocol/sdk@1.12.3'],
    driver: 'sdk.mjs',
    raw: true,
  },
  {
    name: 'sdk-1.20',
    title: 'MCP TypeScript SDK 1.20',
    packages: ['@modelcontextprotocol/sdk@1.20.2'],
    driver: 'sdk.mjs',
    raw: true,
  },
  {
    name: 'sdk-1.32',
    title: 'MCP TypeScript SDK 1.32',
    packages: ['@modelcontextprotocol/sdk@1.32.2'],
    driver: 'sdk.mjs',
    raw: true,
  },
  {
    name: 'client-2',
    title: 'MCP TypeScript client 2, legacy',
    packages: ['@modelcontextprotocol/client@2.4.0'],
    driver: 'client-2.mjs',
    mode: 'legacy',
    raw: true,
  },
  {
    name: 'client-2-auto',
    title: 'MCP TypeScript client 2, auto',
    packages: ['@modelcontextprotocol/client@2.4.0'],
    driver: 'client-2.mjs',
    mode: 'auto',
    raw: true,
  },
  {
    name: 'client-2-pinned',
    title: 'MCP TypeScript client 2, pinned to 2026-07-28',
    packages: ['@modelcontextprotocol/client@2.4.0'],
    driver: 'client-2.mjs',
    mode: { pin: '2026-07-28' },
    raw: true,
  },
  {
    name: 'inspector',
    title: 'MCP Inspector, `--cli`',
    packages: ['@modelcontextprotocol/inspector@2.12.0'],
    driver: 'inspector.mjs',
    endsByClose: true,
    needsNewerNode: true,
    raw: true,
  },
  {
    name: 'ai-sdk',
    title: 'Vercel AI SDK',
    packages: ['@ai-sdk/mcp@2.0.99', 'ai@7.0.173'],
    driver: 'ai-sdk.mjs',
    needsNewerNode: true,
  },
  {
    name: 'langchain',
    title: 'LangChain adapters',
    packages: ['@langchain/mcp-adapters@1.1.4', '@langchain/core@1.4.0'],
    driver: 'langchain.mjs',
    refusesNulls: true,
  },
  {
    name: 'openai-agents',
    title: 'OpenAI Agents SDK',
    packages: ['@openai/agents@0.20.0', 'zod@4.6.7'],
    driver: 'openai-agents.mjs',
  },
  {
    name: 'google-genai',
    title: 'Google GenAI SDK',
    packages: ['@google/genai@3.3.0', '@modelcontextprotocol/sdk@1.32.2'],
    driver: 'google-genai.mjs',
    serverArgs: ['--answers', 'text'],
    imageBecomes: 'base64',
  },
  {
    name: 'mastra',
    title: 'Mastra',
    packages: ['@mastra/mcp@2.0.0', '@mastra/core@1.71.0'],
    driver: 'mastra.mjs',
    needsNewerNode: true,
    imageBecomes: 'base64',
  },
  {
    name: 'mcp-remote',
    title: 'mcp-remote, with the SDK in front',
    packages: ['mcp-remote@0.15.1', '@modelcontextprotocol/sdk@1.32.2'],
    driver: 'mcp-remote.mjs',
    stdio: false,
    raw: true,
  },
  {
    name: 'supergateway',
    title: 'supergateway `--stateful`, with the SDK in front',
    packages: ['supergateway@4.0.0', '@modelcontextprotocol/sdk@1.32.2'],
    driver: 'supergateway.mjs',
    http: false,
    endsByClose: true,
    raw: true,
  },
  {
    name: 'llamaindex',
    title: 'LlamaIndex tools',
    packages: ['@llamaindex/tools@0.2.1'],
    driver: 'llamaindex.mjs',
    http: false,
    imageBecomes: 'base64',
  },
];
