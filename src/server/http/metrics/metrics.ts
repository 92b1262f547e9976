import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry as MetricRegistry } from 'prom-client';
import type { Registry } from '../../../registry/types.ts';
import type { CallOutcome } from '../../call-tool.ts';

export interface MetricsOptions {
  /** The number of open sessions. */
  sessions: () => number;
  registry: Pick<Registry, 'usage'>;
}

/** From the fastest reads to the longest waits of a call. */
const LATENCY_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What the server does, in Prometheus' format. Labels never hold ids or anything that a client chose. */
export class Metrics {
  readonly #metrics = new MetricRegistry();
  readonly #calls: Counter<'tool' | 'result'>;
  readonly #latency: Histogram<'tool'>;
  readonly #responses: Counter<'status'>;
  readonly #sockets = new Set<Socket>();
  #sentBytes = 0;

  constructor({ sessions, registry }: MetricsOptions) {
    const registers = [this.#metrics];
    collectDefaultMetrics({ register: this.#metrics });
    new Gauge({
      name: 'sandbox_mcp_sessions',
      help: 'Open HTTP sessions.',
      registers,
      collect() {
        this.set(sessions());
      },
    });
    new Gauge({
      name: 'sandbox_mcp_in_use',
      help: 'Live sandboxes, running commands and open shells of this server, by kind.',
      labelNames: ['kind'],
      registers,
      async collect() {
        for (const [kind, count] of Object.entries(await registry.usage())) this.set({ kind }, count);
      },
    });
    this.#calls = new Counter({
      name: 'sandbox_mcp_calls_total',
      help: 'Tool calls, by tool and result: ok or the error code.',
      labelNames: ['tool', 'result'],
      registers,
    });
    this.#latency = new Histogram({
      name: 'sandbox_mcp_call_duration_seconds',
      help: 'Time from the start of a tool call to its answer.',
      labelNames: ['tool'],
      buckets: LATENCY_BUCKETS_S,
      registers,
    });
    this.#responses = new Counter({
      name: 'sandbox_mcp_http_responses_total',
      help: 'HTTP responses by status. 4xx and 503 are refusals.',
      labelNames: ['status'],
      registers,
    });
    const sentBytes = () => this.#countSentBytes();
    new Counter({
      name: 'sandbox_mcp_sent_bytes_total',
      help: 'Bytes sent to clients, HTTP headers included.',
      registers,
      collect() {
        this.reset();
        this.inc(sentBytes());
      },
    });
  }

  readonly contentType: string = MetricRegistry.PROMETHEUS_CONTENT_TYPE;

  /** Counts what a server sends. */
  watch(server: Server): void {
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#sentBytes += socket.bytesWritten;
      });
    });
  }

  /** Counts a response, once it has been sent. */
  watchResponse(response: ServerResponse): void {
    response.once('close', () => this.#responses.inc({ status: response.statusCode }));
  }

  recordCall({ tool, code, durationMs }: CallOutcome): void {
    const label = tool ?? 'unknown';
    this.#calls.inc({ tool: label, result: code ?? 'ok' });
    this.#latency.observe({ tool: label }, durationMs / 1_000);
  }

  render(): Promise<string> {
    return this.#metrics.metrics();
  }

  #countSentBytes(): number {
    return [...this.#sockets].reduce((sum, { bytesWritten }) => sum + bytesWritten, this.#sentBytes);
  }
}
