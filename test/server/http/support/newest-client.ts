/** The client of the newest protocol library, in any era. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { onTestFinished } from 'vitest';
import { z } from 'zod';
import type { HttpServer } from './http-server.ts';

export const REVISION = '2026-07-28';
export const CONVERSATION = 'io.github.sandbox-mcp/conversation';

const Answer = z.looseObject({
  content: z.array(z.looseObject({ text: z.string() })),
  structuredContent: z.record(z.string(), z.unknown()).default({}),
});

type Consent = 'accept' | 'decline' | 'cancel';

export interface NewestClientOptions {
  mode: 'legacy' | 'auto' | 'pin';
  token?: string;
  /** Answers the server's questions; without it, the client cannot ask its user. */
  answer?: (question: string) => Consent;
}

/** A connected client, closed with the test. `call` returns the fields of an answer, and its `text`. */
export async function connectNewest(server: Pick<HttpServer, 'url'>, options: NewestClientOptions) {
  const { mode, token, answer } = options;
  const negotiated = mode === 'pin' ? { pin: REVISION } : mode;
  const client = new Client(
    { name: 'test', version: '1' },
    {
      versionNegotiation: { mode: negotiated },
      ...(answer !== undefined && { capabilities: { elicitation: { form: {} } } }),
    },
  );
  if (answer !== undefined) {
    client.setRequestHandler('elicitation/create', ({ params }) => {
      const action = answer(params.message);
      return action === 'accept' ? { action, content: {} } : { action };
    });
  }
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const transport = new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), {
    requestInit: { headers },
  });
  await client.connect(transport);
  onTestFinished(() => client.close());
  const call = async (
    name: string,
    args: Record<string, unknown> = {},
    conversation?: string,
  ): Promise<Record<string, unknown> & { text: string }> => {
    const _meta = conversation === undefined ? {} : { [CONVERSATION]: conversation };
    const result = Answer.parse(await client.callTool({ name, arguments: args, _meta }));
    return { ...result.structuredContent, text: result.content.map(({ text }) => text).join('\n') };
  };
  return { client, transport, call };
}
