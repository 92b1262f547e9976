import { describe, expect, it } from 'vitest';
import { replicaAddress } from '../../../../src/server/http/replicas/replica-address.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { LogLines } from '../../../registry/support/registry.ts';

const URL = 'http://127.0.0.1:8931';
const redis = (url: string) => ({ kind: 'redis', url }) as const;

describe('the address of a replica', () => {
  it.each([
    [
      'with a store on another machine',
      redis('rediss://:secret@store.example:6379/0'),
      '127.0.0.1',
      null,
      true,
    ],
    ['with a store on this machine', redis('redis://[::1]:6379/0'), 'localhost', null, false],
    ['with a directory', { kind: 'files', directory: '/s' } as const, '127.0.0.1', null, false],
    ['that others reach', redis('redis://store.example:6379/0'), '10.0.0.3', null, false],
    ['that the operator names', redis('redis://store.example:6379/0'), '::1', 'http://10.0.0.3:1', false],
  ])('%s', (_name, store, host, replicaUrl, warns) => {
    const lines = new LogLines();
    const address = replicaAddress({ store, host, replicaUrl }, URL, createLogger('debug', lines));
    expect(address).toBe(replicaUrl ?? URL);
    expect(lines.lines.map((line) => line.includes('cannot reach this one'))).toEqual(warns ? [true] : []);
    expect(lines.lines.join()).not.toContain('secret');
  });
});
