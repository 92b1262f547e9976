/** The calls about files. */
import { randomUUID } from 'node:crypto';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { z } from 'zod';
import type { TreeEntry } from '../../../../src/engines/engine.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { runBelow } from '../cloud/run-below.ts';
import { asApi, never } from '../cloud/work.ts';
import { ApiFailure, type ApiRequest, answer, type Reply } from '../wire/reply.ts';
import { bodyOf } from './sandbox-calls.ts';

const CHUNK_BYTES = 1_048_576;

const pathRequest = z.strictObject({ path: z.string().min(1), cwd: z.string().optional() });

/** Makes one directory: a missing parent or an existing path is an error, as in `mkdir` without options. */
export async function makeDirectory(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const { below, sandbox } = await cloud.running(request.names[0] ?? '');
  const { path, cwd = sandbox.cwd } = await bodyOf(request, pathRequest);
  const { files } = cloud.engine;
  const parent = posix.dirname(path.replace(/\/+$/, ''));
  if ((await asApi(() => files.stat(below, parent, cwd, never()))) === null)
    throw new ApiFailure(400, 'bad_request', `mkdir ${path}: no such file or directory`);
  if ((await asApi(() => files.stat(below, path, cwd, never()))) !== null)
    throw new ApiFailure(400, 'bad_request', `mkdir ${path}: file exists`);
  await asApi(() => files.mkDir(below, path, cwd, never()));
  return answer('EmptyResponse', {});
}

/** Unpacks the archive inside, as the sandbox's user, below the directory that `x-cwd` names. */
export async function writeFiles(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const { below, sandbox } = await cloud.running(request.names[0] ?? '');
  if (request.header('content-type') !== 'application/gzip')
    throw new ApiFailure(400, 'bad_request', 'The body must be a gzipped tar archive');
  const archive = `/tmp/.upload-${randomUUID()}.tar.gz`;
  const folder = request.header('x-cwd') ?? sandbox.cwd;
  const entries = only(Readable.from(request.bytes));
  await asApi(() => cloud.engine.files.writeTree(below, archive, null, entries, never()));
  const script = 'tar -xzf "$0" -C "$1" --no-same-owner -p; code=$?; rm -f "$0"; exit $code';
  const { exitCode, stderr } = await runBelow(cloud.engine, below, 'sh', ['-c', script, archive, folder]);
  if (exitCode !== 0) throw new ApiFailure(400, 'bad_request', `Could not write files: ${stderr.trim()}`);
  return answer('EmptyResponse', {});
}

async function* only(content: Readable): AsyncGenerator<TreeEntry> {
  yield { path: '', type: 'file', mode: 0o644, linkTarget: null, content };
}

export async function readFile(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const { below, sandbox } = await cloud.running(request.names[0] ?? '');
  const { path, cwd = sandbox.cwd } = await bodyOf(request, pathRequest);
  const { files } = cloud.engine;
  const read = (offset: number) =>
    asApi(() => files.read(below, path, cwd, { offset, limit: CHUNK_BYTES }, never()));
  const first = await read(0);
  if (first === null) throw new ApiFailure(404, 'not_found', `File not found: ${path}`);
  const content = async function* (): AsyncGenerator<Buffer> {
    for (let part = first, offset = 0; ; ) {
      if (part.data.length > 0) yield part.data;
      offset += part.data.length;
      if (part.data.length === 0 || offset >= part.sizeBytes) return;
      part = (await read(offset)) ?? { ...part, data: Buffer.alloc(0) };
    }
  };
  return { kind: 'bytes', content: content() };
}
