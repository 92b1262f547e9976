import { describe, expect, it } from 'vitest';
import { evaluate } from '../../../../src/engines/oci/doctor/diagnose.ts';
import type { HostFacts } from '../../../../src/engines/oci/doctor/host-facts.ts';
import { failed, notTried, problemsOf, stateDir } from './support/doctor-hosts.ts';

describe('the state directory', () => {
  it.each<[string, HostFacts, string]>([
    ['a comma', stateDir({ path: '/a,b' }), 'error: The state directory’s path'.replace('’', "'")],
    ['an overlay', stateDir({ fileSystem: 'overlay' }), 'error: The state directory is on overlay'],
    ['a network disk', stateDir({ fileSystem: 'nfs4' }), 'error: The state directory is on nfs4'],
    ['a fuse mount', stateDir({ fileSystem: 'fuse.sshfs' }), 'error: The state directory is on fuse.sshfs'],
    [
      'a closed parent',
      stateDir({ notPassable: '/root' }),
      'error: The root of a sandbox cannot reach the state directory: /root',
    ],
    [
      'a parent that others may write to',
      stateDir({ shared: { path: '/srv', problem: 'belongs to user 1000' } }),
      'error: Another user could replace what is in the state directory /state: /srv belongs to user 1000',
    ],
    ['a full disk', stateDir({ freeBytes: 2 ** 20 }), 'error: Only 1 MiB are free for /state'],
    ['a nearly full disk', stateDir({ freeBytes: 2 ** 30 }), 'warning: Only 1024 MiB are free for /state'],
  ])('is reported for %s', (_, facts, text) => {
    const diagnosis = evaluate(facts, 'auto', failed);
    expect(diagnosis.works).toBe(false);
    expect(problemsOf(diagnosis).join('\n')).toContain(text);
    expect(problemsOf(diagnosis).join('\n')).toMatch(/choose another directory with --state-dir/i);
  });
});

describe('an impossible state directory', () => {
  it.each<[string, HostFacts, string]>([
    [
      'a file',
      stateDir({ existing: { path: '/state', isDirectory: false, writable: true } }),
      '/state is not a directory',
    ],
    [
      'closed',
      stateDir({ existing: { path: '/', isDirectory: true, writable: false }, freeBytes: 0 }),
      'this user cannot write to /',
    ],
    ['in /proc', stateDir({ fileSystem: 'proc', freeBytes: 0 }), '/state is on proc, a kernel file system'],
  ])('is reported once: %s', (_, facts, reason) => {
    const { works, findings } = evaluate(facts, 'auto', notTried);
    expect(works).toBe(false);
    const reported = findings.filter(({ text }) => text.includes('/state'));
    expect(reported).toMatchObject([
      { level: 'error', text: `The state directory /state is not usable: ${reason}` },
    ]);
    expect(reported[0]?.advice).toContain('--state-dir');
  });
});
