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

const rule = (effect: object) => ({
  network_policy: { mode: 'custom', rules: [{ domain: 'a.example', ...effect }] },
});

/** What the cloud alone can do. */
const CLOUD_ONLY: readonly [argument: string, args: object, hint: RegExp][] = [
  ['regions', { regions: ['fra1'] }, /without regions/],
  ['name', { name: 'work', keep: true }, /sandbox_snapshot keeps the files/],
  ['keep_snapshots', { keep_snapshots: 2 }, /snapshot_delete removes a snapshot/],
  ['forward_url', rule({ forward_url: 'https://b.example' }), /use the proxy itself; the vercel engine has/],
  ['response', rule({ response: { status: 403 } }), /refuse all of its requests; the vercel engine has/],
];

/** The tools of each engine. */
const lists = new Set<string>();

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

  it('has the same tools with the same arguments as on other engines', async () => {
    lists.add(JSON.stringify((await served.server.client.listTools()).tools));
    expect(lists.size).toBe(1);
  });

  if (engine === 'vercel') return;
  it.each(CLOUD_ONLY)('does not support %s, and says what to do instead', async (argument, args, hint) => {
    const { text } = await served.server.call('sandbox_create', { ...args });
    expect(text).toMatch(/^Error \(unsupported\): .+\nNext step: .+/);
    expect(text).toMatch(hint);
    expect(text).toContain(argument);
  });
});
