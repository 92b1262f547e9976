import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OciRuntime } from '../../../../src/engines/oci/container/oci-runtime.ts';
import {
  type ProbedHost,
  probePlaces,
  readProbe,
  writeProbe,
} from '../../../../src/engines/oci/container/probe-cache.ts';
import { StateLayout } from '../../../../src/engines/oci/state/state-layout.ts';

let root = '';
let executable = '';
let runtime: OciRuntime;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'probe-cache-'));
  executable = join(root, 'crun');
  writeFileSync(executable, 'first');
  runtime = {
    name: 'crun',
    path: executable,
    version: '1.8.1',
    cgroups: 'cgroupfs',
    hideUnified: false,
    egress: true,
    userLimits: true,
  };
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

function hostIn(stateDir: string, altered: Partial<ProbedHost> = {}): ProbedHost {
  const path = join(root, stateDir);
  mkdirSync(path, { recursive: true });
  return {
    layout: new StateLayout(path),
    diskIds: { kind: 'root' },
    cgroupLayout: 'v2',
    agent: join(path, 'bin/agent-0123'),
    mounts: 'by-root',
    canSeparateIds: true,
    alterBundle: null,
    ...altered,
  };
}

const placesOf = (host: ProbedHost) => probePlaces(host, 'auto', [executable], join(root, 'run'));

describe('the result of a probe', () => {
  it('is kept for its state directory and for others of the user', async () => {
    await writeProbe(await placesOf(hostIn('one')), runtime, true);
    expect(await readProbe(await placesOf(hostIn('one')))).toEqual(runtime);
    expect(await readProbe(await placesOf(hostIn('two')))).toEqual(runtime);
    // From then on the second one needs no other place.
    rmSync(join(root, 'run'), { recursive: true });
    expect(await readProbe(await placesOf(hostIn('two')))).toEqual(runtime);
  });

  it('is kept for its state directory alone if others may get a better one', async () => {
    await writeProbe(await placesOf(hostIn('one')), runtime, false);
    expect(await readProbe(await placesOf(hostIn('one')))).toEqual(runtime);
    expect(await readProbe(await placesOf(hostIn('two')))).toBeNull();
  });

  it.each<[string, Partial<ProbedHost>]>([
    ['another agent', { agent: '/elsewhere/bin/agent-4567' }],
    ['other mounts', { mounts: 'by-runtime' }],
    ['one range of ids for all', { canSeparateIds: false }],
    ['other cgroups', { cgroupLayout: 'hybrid' }],
    ['other ids', { diskIds: { kind: 'single' } }],
    ['an altered bundle', { alterBundle: (config) => config }],
  ])('does not hold for %s', async (_, altered) => {
    await writeProbe(await placesOf(hostIn('one')), runtime, true);
    expect(await readProbe(await placesOf(hostIn('two', altered)))).toBeNull();
  });

  it('does not hold for another executable', async () => {
    await writeProbe(await placesOf(hostIn('one')), runtime, true);
    writeFileSync(executable, 'updated');
    expect(await readProbe(await placesOf(hostIn('one')))).toBeNull();
    expect(await readProbe(await placesOf(hostIn('two')))).toBeNull();
  });

  it('is not taken from a directory that others can write to', async () => {
    await writeProbe(await placesOf(hostIn('one')), runtime, true);
    chmodSync(join(root, 'run'), 0o777);
    expect(await readProbe(await placesOf(hostIn('two')))).toBeNull();
  });

  it('is not taken from a damaged file', async () => {
    await writeProbe(await placesOf(hostIn('one')), runtime, true);
    for (const name of readdirSync(join(root, 'run'))) writeFileSync(join(root, 'run', name), '{');
    expect(await readProbe(await placesOf(hostIn('two')))).toBeNull();
  });

  it('is kept for its state directory if there is no place for the others', async () => {
    writeFileSync(join(root, 'run'), '');
    await writeProbe(await placesOf(hostIn('one')), runtime, true);
    expect(await readProbe(await placesOf(hostIn('one')))).toEqual(runtime);
  });
});
