/** The cases of the reference about files. */
import { expect } from 'vitest';
import { from, one, type ReferenceCase, type Seen } from './reference-case.ts';

const page = (path: string, size_bytes: number, content: string, more: Record<string, unknown> = {}) => ({
  path,
  exists: true,
  size_bytes,
  encoding: 'utf8',
  content,
  next_offset: null,
  ...more,
});

export function fileCasesOfReference(): ReferenceCase[] {
  const made = (seen: Seen) => ({
    sandbox_id: from(seen, 'create', 'sandbox_id'),
    path: '/vercel/sandbox/data',
  });
  const files = [
    { path: 'data/a.txt', content: 'grün\n' },
    {
      path: 'data/run',
      content: Buffer.from('#!/bin/sh\necho ran\n').toString('base64'),
      encoding: 'base64',
      mode: '0755',
    },
  ];
  return [
    one('mk_dir', 'mk_dir()', 'sandbox_mk_dir', { path: 'data' }, made),
    one('mk_dir: again', 'mk_dir()', 'sandbox_mk_dir', { path: '../sandbox/data' }, made),
    one('write_files', 'write_files()', 'sandbox_write_files', { files }, (seen) => ({
      sandbox_id: from(seen, 'create', 'sandbox_id'),
      files: [
        { path: '/vercel/sandbox/data/a.txt', size_bytes: 6 },
        { path: '/vercel/sandbox/data/run', size_bytes: 19 },
      ],
    })),
    one('read_file', 'read_file()', 'sandbox_read_file', { path: 'a.txt', cwd: 'data' }, () =>
      page('/vercel/sandbox/data/a.txt', 6, 'grün\n'),
    ),
    one(
      'read_file: bytes',
      'read_file()',
      'sandbox_read_file',
      { path: 'data/a.txt', encoding: 'base64' },
      () => page('/vercel/sandbox/data/a.txt', 6, 'Z3LDvG4K', { encoding: 'base64' }),
    ),
    one('read_file: a missing file', 'read_file()', 'sandbox_read_file', { path: 'none' }, () => ({
      path: '/vercel/sandbox/none',
      exists: false,
      size_bytes: null,
      encoding: 'utf8',
      content: null,
      next_offset: null,
    })),
    one(
      'iter_file: a chunk',
      'iter_file()',
      'sandbox_iter_file',
      { path: 'data/run', chunk_size: 10 },
      () => ({
        ...page('/vercel/sandbox/data/run', 19, '#!/bin/sh\n', { next_offset: 10 }),
        next_cursor: expect.any(String),
      }),
    ),
    {
      name: 'iter_file: the last chunk',
      section: 'iter_file()',
      tool: 'sandbox_iter_file',
      args: (seen) => ({
        path: 'data/run',
        chunk_size: 10,
        cursor: from(seen, 'iter_file: a chunk', 'next_cursor'),
      }),
      answer: () => ({ ...page('/vercel/sandbox/data/run', 19, 'echo ran\n'), next_cursor: null }),
    },
    {
      name: 'download_file',
      section: 'download_file()',
      tool: 'sandbox_download_file',
      args: () => ({ remote_path: 'data/a.txt', local_path: 'made/here/a.txt', create_parents: true }),
      answer: () => ({
        local_path: expect.stringMatching(/\/made\/here\/a\.txt$/),
        remote_path: '/vercel/sandbox/data/a.txt',
        files: 1,
        bytes: 6,
        sha256: 'd2d8a3547ed87a59bd66ca28402de461108a17edfc3c91d0fe1ecd44f25986b9',
        skipped: 0,
        skipped_paths: [],
        executes_on_host: [],
        status: 'done',
        next: null,
      }),
    },
    one(
      'download_file: no such directory',
      'download_file()',
      'sandbox_download_file',
      { remote_path: 'data/a.txt', local_path: 'other/a.txt' },
      () => 'not_found',
    ),
    one('write_files: mode', 'write_files()', 'sandbox_run_command', { cmd: './data/run' }, (seen) => ({
      ...seen['run: cwd'],
      command_id: expect.any(String),
      started_at: expect.any(Number),
      duration_ms: expect.any(Number),
      cmd: './data/run',
      cwd: '/vercel/sandbox',
      stdout: 'ran\n',
      stdout_bytes: 4,
    })),
  ];
}
