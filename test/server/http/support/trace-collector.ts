import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { z } from 'zod';

const Attributes = z
  .array(z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) }))
  .transform((list) => Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]])));

/** The JSON form of OTLP's trace requests, as far as tests need it. */
const TraceRequest = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: Attributes }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: z.string().regex(/^[0-9a-f]{32}$/),
              spanId: z.string().regex(/^[0-9a-f]{16}$/),
              parentSpanId: z.string().optional(),
              name: z.string(),
              kind: z.number(),
              startTimeUnixNano: z.string().regex(/^\d+$/),
              endTimeUnixNano: z.string().regex(/^\d+$/),
              attributes: Attributes,
              status: z.object({ code: z.number().optional() }),
            }),
          ),
        }),
      ),
    }),
  ),
});

export type Span = z.infer<
  typeof TraceRequest
>['resourceSpans'][number]['scopeSpans'][number]['spans'][number];

/** Takes traces as OpenTelemetry's collector does over HTTP, ended with the test. */
export async function startTraceCollector() {
  const spans: Span[] = [];
  const resources: Record<string, unknown>[] = [];
  const refused: unknown[] = [];
  const server = createServer(async (request, response) => {
    const { data, error } = TraceRequest.safeParse(await json(request));
    if (request.url !== '/v1/traces' || error !== undefined) {
      refused.push(error ?? request.url);
      return void response.writeHead(400).end();
    }
    for (const { resource, scopeSpans } of data.resourceSpans) {
      resources.push(resource.attributes);
      spans.push(...scopeSpans.flatMap((scope) => scope.spans));
    }
    response.setHeader('content-type', 'application/json');
    response.end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  return { url, spans, resources, refused };
}
