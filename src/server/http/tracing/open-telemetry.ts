/** Traces by OpenTelemetry. The build makes a bundle of its own of this file, which most servers never load. */
import { DiagLogLevel, diag, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Tracing, TracingOptions } from './tracing.ts';

/** `traceparent` of W3C Trace Context. */
const TRACE_PARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Sends a span for each call of a tool. The libraries read the standard `OTEL_` variables themselves. */
export function startTracing({ version, engine, log }: TracingOptions): Tracing {
  const problem = (message: string): void => log.warn({ reason: message }, 'Traces could not be sent.');
  diag.setLogger(
    { error: problem, warn: problem, info: () => {}, debug: () => {}, verbose: () => {} },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const resource = resourceFromAttributes({
    'service.name': 'sandbox-mcp',
    'service.version': version,
  }).merge(detectResources({ detectors: [envDetector] }));
  const provider = new BasicTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  const tracer = provider.getTracer('sandbox-mcp', version);
  return {
    recordCall({ tool, code, durationMs, traceParent }) {
      const ended = Date.now();
      const span = tracer.startSpan(
        `tools/call ${tool ?? 'unknown'}`,
        {
          kind: SpanKind.SERVER,
          startTime: ended - durationMs,
          attributes: {
            'mcp.method.name': 'tools/call',
            'gen_ai.operation.name': 'execute_tool',
            'gen_ai.tool.name': tool ?? 'unknown',
            'sandbox_mcp.engine': engine,
            ...(code !== null && { 'error.type': code }),
          },
        },
        parentOf(traceParent),
      );
      if (code !== null) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end(ended);
    },
    close: () => provider.shutdown(),
  };
}

/** The span of the client that made the call, if it says so. */
function parentOf(traceParent: string | null) {
  const [, traceId, spanId, flags] = TRACE_PARENT.exec(traceParent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
  const traceFlags = Number.parseInt(flags, 16);
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}
