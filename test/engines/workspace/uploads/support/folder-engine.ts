/** An engine whose sandboxes are folders of this machine, for what is uploaded to them. */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { CreateSandbox, Engine, Sandbox, TreeEntry } from '../../../../../src/engines/engine.ts';
import type {
  GuestAccess,
  OnLeftOut,
  SurveyedEntry,
} from '../../../../../src/engines/workspace/uploads/guest-access.ts';
import type { UploadLimits } from '../../../../../src/engines/workspace/uploads/upload-limits.ts';
import { withUploads } from '../../../../../src/engines/workspace/uploads/with-uploads.ts';
import { contentChunks } from '../../../../../src/shared/async/content-chunks.ts';
import { SandboxError } from '../../../../../src/shared/errors.ts';
import { createLogger } from '../../../../../src/shared/log.ts';
import { MemoryEngine } from '../../../../fakes/memory-engine.ts';

const TYPES = { isFile: 'file', isDirectory: 'directory', isSymbolicLink: 'symlink' } as const;

export interface FolderEngine {
  engine: Engine;
  memory: MemoryEngine;
  /** The sandbox's folder for a path inside. */
  inside(sandboxId: string, path?: string): string;
  /** Called for each entry that is written, before it is. */
  onEntry(entry: TreeEntry): Promise<void> | void;
  /** Files and directories that cannot be read, by their paths in the workspace. */
  unreadable: Set<string>;
  scripts: string[][];
  /** Paths of the files that were brought out or read. */
  reads: string[];
  /** How many files were hashed inside, by each call for several. */
  digested: number[];
  /** What these files say that they contain when they are hashed inside. */
  claims: Map<string, string>;
  /** Where git was asked to look. */
  repositories: string[];
}

/**
 * @param root for sandboxes, state and records
 * @param hashesInside whether sandboxes hash several files in a call, as those in the cloud do
 */
export function openFolderEngine(root: string, limits?: UploadLimits, hashesInside = false): FolderEngine {
  const memory = new MemoryEngine(() => Date.now());
  const inside = (sandboxId: string, path = '/vercel/sandbox') => join(root, 'guests', sandboxId, path);
  const self: Omit<FolderEngine, 'engine'> = {
    memory,
    inside,
    onEntry: () => {},
    unreadable: new Set(),
    scripts: [],
    reads: [],
    digested: [],
    claims: new Map(),
    repositories: [],
  };
  const readable = (sandboxId: string, path: string): string => {
    self.reads.push(path);
    const refuse = [...self.unreadable].some((name) => path.endsWith(`/${name}`));
    if (!refuse) return inside(sandboxId, path);
    throw new SandboxError('permission', 'no permission to read', { details: { path } });
  };
  const digests: GuestAccess['digests'] = async (sandboxId, directory, paths) => {
    self.digested.push(paths.length);
    const found = paths.filter((path) => !self.unreadable.has(path));
    const content = (path: string) =>
      self.claims.get(path) ?? readFileSync(join(inside(sandboxId, directory), path));
    return new Map(found.map((path) => [path, createHash('sha256').update(content(path)).digest()]));
  };
  const guest: GuestAccess = {
    async *survey(sandboxId, path, _signal, onLeftOut) {
      yield* survey(inside(sandboxId, path), '', self.unreadable, onLeftOut);
    },
    ...(hashesInside && { digests }),
    runAsRoot: async (_sandboxId, script, args) => {
      self.scripts.push([script, ...args]);
    },
    whyNotMounted: async () => 'there are no mounts',
    directoryOf: (sandboxId) => join(root, 'state/sandboxes', sandboxId),
  };
  const plain: Engine = {
    name: 'oci',
    commands: memory.commands,
    create: (request: CreateSandbox, signal: AbortSignal): Promise<Sandbox> => memory.create(request, signal),
    get: (sandboxId, signal) => memory.get(sandboxId, signal),
    list: () => memory.list(),
    extendTimeout: (sandboxId, durationMs, signal) => memory.extendTimeout(sandboxId, durationMs, signal),
    stop: (sandboxId, cause, signal) => memory.stop(sandboxId, cause, signal),
    forget: (sandboxId, signal) => memory.forget(sandboxId, signal),
    recover: (signal) => memory.recover(signal),
    limits: () => memory.limits(),
    runtimes: () => memory.runtimes(),
    close: () => memory.close(),
    git: {
      async *uploadPack({ path }) {
        self.repositories.push(path);
        yield Buffer.alloc(0);
      },
    },
    files: {
      ...memory.files,
      async read(sandboxId, path, _cwd, { offset, limit }) {
        const data = readFileSync(readable(sandboxId, path));
        return { path, sizeBytes: data.length, data: data.subarray(offset, offset + limit) };
      },
      async *readTree(sandboxId, path) {
        const content = Readable.from([readFileSync(readable(sandboxId, path))]);
        yield { path: '', type: 'file', mode: 0o644, linkTarget: null, content };
      },
      async writeTree(sandboxId, path, _cwd, entries) {
        let files = 0;
        for await (const entry of entries) {
          await self.onEntry(entry);
          await write(join(inside(sandboxId, path), entry.path), entry);
          if (entry.type === 'file') files += 1;
        }
        return { path, files, bytes: 0 };
      },
    },
  };
  mkdirSync(join(root, 'state'), { recursive: true });
  const stateDir = join(root, 'state');
  const options = { guest, stateDir, journals: join(stateDir, 'journals'), log: createLogger('silent') };
  return Object.assign(self, { engine: withUploads(plain, { ...options, ...(limits && { limits }) }) });
}

async function write(path: string, { type, content, mode, mtimeMs, linkTarget }: TreeEntry): Promise<void> {
  if (type === 'directory') await mkdir(path, { recursive: true });
  else if (type === 'symlink') await symlink(linkTarget ?? '', path);
  else {
    await writeFile(path, content === null ? '' : await buffer(contentChunks(content)));
    await chmod(path, mode);
    if (mtimeMs !== undefined) await utimes(path, mtimeMs / 1_000, mtimeMs / 1_000);
  }
}

function* survey(
  root: string,
  path: string,
  unreadable: Set<string>,
  onLeftOut: OnLeftOut,
): Generator<SurveyedEntry> {
  const stats = lstatSync(join(root, path), { bigint: true });
  const kind = (Object.keys(TYPES) as (keyof typeof TYPES)[]).find((name) => stats[name]());
  if (kind === undefined) return onLeftOut(path, 'special');
  if (unreadable.has(path) && kind === 'isDirectory') return onLeftOut(path, 'unreadable');
  yield {
    path,
    type: TYPES[kind],
    mode: Number(stats.mode & 0o7777n),
    sizeBytes: Number(stats.size),
    mtimeMs: Number(stats.mtimeNs / 1_000_000n),
    changedUs: Number(stats.ctimeNs / 1_000n),
    linkTarget: kind === 'isSymbolicLink' ? readlinkSync(join(root, path)) : null,
  };
  if (kind !== 'isDirectory') return;
  for (const name of readdirSync(join(root, path)))
    yield* survey(root, path === '' ? name : `${path}/${name}`, unreadable, onLeftOut);
}
