/** The cases of the reference about snapshots and the end of a sandbox. */
import { expect } from 'vitest';
import {
  type Answer,
  anyTime,
  CREATE,
  DAY_MS,
  ENDED,
  from,
  id,
  one,
  type ReferenceCase,
  sandbox,
} from './reference-case.ts';

/** @param engine the name of the engine under test */
export function snapshotCasesOfReference(engine: string): ReferenceCase[] {
  const box = (more?: Answer): Answer => sandbox(engine, more);
  const stopped = { ...ENDED, status: 'stopped', status_reason: 'stopped by request' };
  return [
    one(
      'snapshot: less than 24 hours',
      'MIN_SNAPSHOT_EXPIRATION_MS',
      'sandbox_snapshot',
      { expiration_ms: 1 },
      () => 'invalid_argument',
    ),
    one('snapshot', 'snapshot()', 'sandbox_snapshot', { expiration_ms: DAY_MS }, (seen) => ({
      snapshot_id: id('snap'),
      source_sandbox_id: from(seen, 'create', 'sandbox_id'),
      status: 'created',
      size_bytes: expect.toSatisfy((size: unknown) => size === null || Number(size) >= 0, 'a size'),
      created_at: anyTime(),
      expires_at: expect.toSatisfy(isTomorrow, 'a time in 24 hours'),
      sandbox_status: 'stopped',
      next: expect.anything(),
    })),
    one('snapshot stops its source', 'snapshot()', 'sandbox_get', {}, () =>
      box({
        ...ENDED,
        status: 'stopped',
        status_reason: 'stopped by a snapshot',
        timeout_ms: 360_000,
        git_url: null,
      }),
    ),
    one(
      'a stopped sandbox runs no command',
      'status',
      'sandbox_run_command',
      { cmd: 'true' },
      () => 'conflict',
    ),
    {
      name: 'snapshot_get',
      section: 'Snapshot.get()',
      tool: 'snapshot_get',
      args: (seen) => ({ snapshot_id: from(seen, 'snapshot', 'snapshot_id') }),
      answer: (seen) => ({
        snapshot_id: from(seen, 'snapshot', 'snapshot_id'),
        source_sandbox_id: from(seen, 'create', 'sandbox_id'),
        status: 'created',
        size_bytes: expect.any(Number),
        created_at: from(seen, 'snapshot', 'created_at'),
        expires_at: from(seen, 'snapshot', 'expires_at'),
      }),
    },
    {
      name: 'create from a snapshot',
      section: 'Sandbox.create()',
      tool: 'sandbox_create',
      args: (seen) => ({
        ...CREATE,
        source: { type: 'snapshot', snapshot_id: from(seen, 'snapshot', 'snapshot_id') },
      }),
      answer: (seen) => box({ source_snapshot_id: from(seen, 'snapshot', 'snapshot_id') }),
    },
    one(
      'a snapshot contains the files',
      'Snapshot class',
      'sandbox_read_file',
      { path: 'data/a.txt' },
      () => ({
        path: '/vercel/sandbox/data/a.txt',
        exists: true,
        size_bytes: 6,
        encoding: 'utf8',
        content: 'grün\n',
        next_offset: null,
      }),
    ),
    {
      name: 'snapshot_list',
      section: 'Snapshot.list()',
      tool: 'snapshot_list',
      args: () => ({ limit: 1 }),
      answer: (seen) => ({
        snapshots: [from(seen, 'snapshot_get', 'snapshot_id')].map((snapshot_id) =>
          expect.objectContaining({ snapshot_id }),
        ),
        next_cursor: null,
      }),
    },
    {
      name: 'snapshot_delete',
      section: 'delete()',
      tool: 'snapshot_delete',
      args: (seen) => ({ snapshot_id: from(seen, 'snapshot', 'snapshot_id') }),
      answer: (seen) => ({ ...seen['snapshot_get'], status: 'deleted' }),
    },
    {
      name: 'a deleted snapshot is not found',
      section: 'Snapshot.get()',
      tool: 'snapshot_get',
      args: (seen) => ({ snapshot_id: from(seen, 'snapshot', 'snapshot_id') }),
      answer: () => 'not_found',
    },
    one('stop: blocking', 'stop()', 'sandbox_stop', { blocking: true }, () =>
      box({ ...stopped, source_snapshot_id: id('snap') }),
    ),
    one('stop a stopped one', 'stop()', 'sandbox_stop', {}, () =>
      box({ ...stopped, source_snapshot_id: id('snap') }),
    ),
    {
      name: 'list: newest first, by page',
      section: 'Sandbox.list()',
      tool: 'sandbox_list',
      args: () => ({ limit: 1 }),
      answer: (seen) => ({
        sandboxes: [
          expect.objectContaining({ sandbox_id: from(seen, 'create from a snapshot', 'sandbox_id') }),
        ],
        next_cursor: expect.any(String),
      }),
    },
    {
      name: 'list: the rest',
      section: 'Sandbox.list()',
      tool: 'sandbox_list',
      args: (seen) => ({ limit: 20, cursor: from(seen, 'list: newest first, by page', 'next_cursor') }),
      answer: (seen) => ({
        sandboxes: [expect.objectContaining({ sandbox_id: from(seen, 'create', 'sandbox_id') })],
        next_cursor: null,
      }),
    },
    {
      name: 'list: since and until are inclusive',
      section: 'Sandbox.list()',
      tool: 'sandbox_list',
      args: (seen) => ({
        since: from(seen, 'create', 'created_at'),
        until: from(seen, 'create', 'created_at'),
      }),
      answer: (seen) => ({
        sandboxes: [expect.objectContaining({ sandbox_id: from(seen, 'create', 'sandbox_id') })],
        next_cursor: null,
      }),
    },
  ];
}

function isTomorrow(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value - Date.now() - DAY_MS) < 600_000;
}
