import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Config, loadConfig } from '../../src/config/config.ts';
import { FLAGS, type FlagName } from '../../src/config/flags.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-'));
  mkdirSync(join(folder, 'work'));
  mkdirSync(join(folder, 'data'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function load(
  flags: Partial<Record<FlagName, string>>,
  { env = {} }: { env?: Record<string, string> } = {},
): Config {
  const given = new Map<FlagName, string[]>();
  for (const { name } of FLAGS) {
    const value = flags[name];
    if (value !== undefined) given.set(name, [value]);
  }
  return loadConfig(given, { env, cwd: join(folder, 'work'), homeDir: join(folder, 'home'), isRoot: false });
}

describe('the store of several replicas', () => {
  const cloud = { transport: 'http', engine: 'vercel' };

  it('is Redis or a directory', () => {
    const store = (value: string) => load({ ...cloud, store: value }).http.store;
    expect(store('rediss://:word@host:6379/1')).toEqual({ kind: 'redis', url: 'rediss://:word@host:6379/1' });
    expect(store('../data')).toEqual({ kind: 'files', directory: join(folder, 'data') });
    expect(() => store('http://:word@host')).toThrow(/^--store is not valid; use redis:/);
  });

  it('needs sandboxes, folders and addresses that are not those of one machine', () => {
    const shared = { ...cloud, store: 'redis://host' };
    expect(() => load({ ...shared, engine: 'oci' })).toThrow('--engine: "oci" has sandboxes on one machine');
    expect(() => load({ ...shared, 'allow-dir': '../data' })).toThrow(
      '--allow-dir: "../data" is a folder of',
    );
    const env = { SANDBOX_MCP_AUTH_TOKENS: 'ann:a-token-of-enough-length' };
    expect(() => load({ ...shared, host: '0.0.0.0' }, { env })).toThrow('set --replica-url.');
    const reached = load({ ...shared, host: '0.0.0.0', 'replica-url': 'http://10.0.0.3:8931/' }, { env });
    expect(reached.http.replicaUrl).toBe('http://10.0.0.3:8931');
  });
});
