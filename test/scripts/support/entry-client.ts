/** A server started by the entry of a client's settings, and used as a client does. */
import { once } from 'node:events';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import type { ServerCommand } from '../../../src/cli/setup/clients.ts';
import { CALL_TIMEOUT_MS } from '../../support/timeout-factor.ts';

export interface EntryServer {
  /** The structured answer. @throws the text of an error */
  call(name: string, args?: Record<string, unknown>): Promise<Record<string, unknown>>;
  /** A shell script's output and errors, run in the current sandbox. */
  script(text: string, args?: Record<string, unknown>): Promise<string>;
  close(): Promise<void>;
}

export async function startEntry(
  { command, args }: ServerCommand,
  env: Record<string, string>,
): Promise<EntryServer> {
  const transport = new StdioClientTransport({ command, args: [...args], env, stderr: 'pipe' });
  let logged = '';
  const closed = transport.stderr === null ? Promise.resolve() : once(transport.stderr, 'close');
  transport.stderr?.on('data', (chunk: Buffer) => {
    logged += chunk.toString('utf8');
  });
  const client = new Client({ name: 'test', version: '1' });
  try {
    await client.connect(transport, { timeout: CALL_TIMEOUT_MS });
  } catch (error) {
    throw new Error(`the server did not start:\n${logged}`, { cause: error });
  }
  const call: EntryServer['call'] = async (name, given = {}) => {
    const request = { name, arguments: given };
    const answer = CallToolResultSchema.parse(
      await client.callTool(request, undefined, { timeout: CALL_TIMEOUT_MS }),
    );
    if (answer.isError) throw new Error(`${name}: ${JSON.stringify(answer.content)}\n${logged}`);
    return answer.structuredContent ?? {};
  };
  return {
    call,
    async script(text, more = {}) {
      const answer = await call('sandbox_run_command', { cmd: 'sh', args: ['-c', text], ...more });
      return `${answer['stdout']}${answer['stderr']}`;
    },
    async close() {
      await client.close();
      await closed;
    },
  };
}
