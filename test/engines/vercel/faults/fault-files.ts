/** The file calls of the fault suite. */
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect } from 'vitest';
import type { TreeEntry } from '../../../../src/engines/engine.ts';
import { contentChunks } from '../../../../src/shared/async/content-chunks.ts';
import { timeoutSignal } from '../../../conformance/support/requests.ts';
import type { Attempt, Failure, FaultCall } from './fault-call.ts';

const ALL = { offset: 0, limit: 1_000_000 };

async function* tree(marker: string): AsyncGenerator<TreeEntry> {
  const plain = { mode: 0o644, linkTarget: null };
  yield { ...plain, path: '', type: 'directory', mode: 0o755, content: null };
  yield { ...plain, path: 'file', type: 'file', content: Readable.from([Buffer.from(marker)]) };
}

/** The complete content or none, never a part. */
async function wholeOrNothing({ world, sandboxId, marker }: Attempt, path: string, failure: Failure | null) {
  const found = await world.patient.files.read(sandboxId, path, null, ALL, timeoutSignal());
  if (failure === null) expect(found?.data.toString()).toBe(marker);
  else expect([undefined, marker]).toContain(found?.data.toString());
}

export const FILE_CALLS: readonly FaultCall[] = [
  {
    name: 'make a directory',
    operations: ['command.run'],
    repeatable: false,
    sandbox: 'shared',
    run: (engine, { sandboxId, marker }) =>
      engine.files.mkDir(sandboxId, `${marker}/deep`, null, timeoutSignal()),
    right: (value, { marker }) => expect(value).toEqual({ path: `/vercel/sandbox/${marker}/deep` }),
  },
  {
    name: 'stat',
    operations: ['command.run'],
    repeatable: false,
    sandbox: 'shared',
    run: (engine, { sandboxId }) => engine.files.stat(sandboxId, '/etc/hostname', null, timeoutSignal()),
    right: (value) => expect(value).toMatchObject({ path: '/etc/hostname', type: 'file', sizeBytes: 8 }),
  },
  {
    name: 'read a file',
    operations: ['command.run'],
    repeatable: false,
    sandbox: 'shared',
    prepare: writeMarker,
    run: (engine, { sandboxId, made }) => engine.files.read(sandboxId, made, null, ALL, timeoutSignal()),
    right: (value, { marker }) => expect(value).toMatchObject({ data: Buffer.from(marker) }),
  },
  {
    name: 'write a file',
    operations: ['command.run', 'file.write'],
    repeatable: false,
    sandbox: 'shared',
    run: (engine, { sandboxId, marker }) => {
      const file = { path: `w-${marker}`, content: Buffer.from(marker), mode: 0o600 };
      return engine.files.write(sandboxId, [file], null, timeoutSignal());
    },
    right: (value, { marker }) =>
      expect(value).toEqual([{ path: `/vercel/sandbox/w-${marker}`, sizeBytes: marker.length }]),
    after: (attempt, failure) => wholeOrNothing(attempt, `w-${attempt.marker}`, failure),
  },
  {
    name: 'read a tree',
    operations: ['command.run', 'file.read'],
    repeatable: false,
    sandbox: 'shared',
    prepare: writeMarker,
    run: async (engine, { sandboxId, made }) => {
      const read: [string, string][] = [];
      for await (const entry of engine.files.readTree(sandboxId, made, null, timeoutSignal()))
        read.push([
          entry.path,
          entry.content === null ? '' : (await buffer(contentChunks(entry.content))).toString(),
        ]);
      return read;
    },
    right: (value, { marker }) => expect(value).toEqual([['', marker]]),
  },
  {
    name: 'write a tree',
    operations: ['command.run', 'file.write'],
    repeatable: false,
    sandbox: 'shared',
    run: (engine, { sandboxId, marker }) =>
      engine.files.writeTree(sandboxId, `t-${marker}`, null, tree(marker), timeoutSignal()),
    right: (value, { marker }) =>
      expect(value).toMatchObject({ path: `/vercel/sandbox/t-${marker}`, files: 1, bytes: marker.length }),
    after: (attempt, failure) => wholeOrNothing(attempt, `t-${attempt.marker}/file`, failure),
  },
];

async function writeMarker({ world, sandboxId, marker }: Attempt): Promise<string> {
  const file = { path: `r-${marker}`, content: Buffer.from(marker), mode: null };
  const [written] = await world.patient.files.write(sandboxId, [file], null, timeoutSignal());
  return written?.path ?? '';
}
