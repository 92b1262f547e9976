/** Every engine follows the reference field by field: the same calls give the same fixed results. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Seen } from '../conformance/reference/reference-case.ts';
import { referenceCases } from '../conformance/reference/reference-cases.ts';
import { startVercelApi } from '../fakes/vercel/index.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { serverEnvironment, vercelArguments } from './vercel/support/vercel-engines.ts';

interface Served {
  server: RunningServer;
  close(): Promise<void>;
}

const ENGINES: readonly [name: string, start: () => Promise<Served>][] = [
  [
    'oci',
    async () => {
      const server = await startServer({ args: ['--engine', 'oci'] });
      return { server, close: () => server.close() };
    },
  ],
  [
    'vercel',
    async () => {
      const api = await startVercelApi();
      const server = await startServer({ args: vercelArguments(api), env: serverEnvironment(api) });
      const close = async (): Promise<void> => {
        await server.close();
        await api.close();
        expect(api.violations).toEqual([]);
      };
      return { server, close };
    },
  ],
];

describe.each(ENGINES)('the reference on %s', (engine, start) => {
  let served: Served;
  const seen: Seen = {};

  beforeAll(async () => {
    served = await start();
  });

  afterAll(async () => {
    await served.close();
  });

  it.each(referenceCases(engine))('$section: $name', async ({ name, tool, args, answer }) => {
    const { structured, isError, text } = await served.server.call(tool, args(seen));
    const expected = answer(seen);
    if (typeof expected === 'string') {
      expect(text).toMatch(new RegExp(`^Error \\(${expected}\\): .+\\nNext step: .+`));
      return;
    }
    expect(isError ? text : structured).toEqual(expected);
    seen[name] = structured;
  });
});
