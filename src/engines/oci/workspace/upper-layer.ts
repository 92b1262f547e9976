/** Lists the upper layer of a workspace, with the agent on the host, which follows nothing in it. */
import { isUtf8 } from 'node:buffer';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { whenSpawned } from '../../../shared/async/when-spawned.ts';
import { SandboxError } from '../../../shared/errors.ts';
import type { SandboxEntry } from '../../workspace/sides.ts';

const MAX_ENTRIES = 200_000;
const HEADER = /^([fdlwo]) ([0-7]{1,5}) (\d{1,19}) (-?\d{1,19}) ([-cq]) (\d{1,5}) /;
const HEADER_BYTES = 80;

/**
 * @returns the entries as agent/host/upper.c describes them, directories before their contents, and how many have names that are not UTF-8
 * @throws `limit_exceeded` for more than 200,000
 */
export async function listUpper(
  agent: string,
  layer: string,
  signal: AbortSignal,
): Promise<{ entries: SandboxEntry[]; unreadable: number }> {
  const child = await whenSpawned(
    spawn(agent, ['upper', layer], { stdio: ['ignore', 'pipe', 'pipe'], env: {}, signal }),
  );
  child.on('error', () => {});
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString('utf8')).slice(0, 1_000);
  });
  const ended = once(child, 'close');
  // An abort rejects it while the output is still being read; how the child ended shows below.
  ended.catch(() => {});
  const parser = new Parser();
  try {
    for await (const chunk of child.stdout) parser.add(chunk);
  } finally {
    child.kill('SIGKILL');
  }
  await ended;
  signal.throwIfAborted();
  if (!parser.complete) throw new Error(`listing the changes of a workspace failed: ${errors}`);
  return { entries: parser.entries, unreadable: parser.unreadable };
}

class Parser {
  readonly entries: SandboxEntry[] = [];
  unreadable = 0;
  complete = false;
  #rest: Buffer = Buffer.alloc(0);

  add(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      const end = this.#entry(at);
      if (end === null) break;
      at = end;
    }
    if (this.#rest.length - at === 1 && this.#rest[at] === 0x65) this.complete = true;
    this.#rest = this.#rest.subarray(at);
  }

  /** Reads the entry at an offset. Returns where it ends; null if it is not whole. */
  #entry(at: number): number | null {
    const match = HEADER.exec(this.#rest.toString('latin1', at, at + HEADER_BYTES));
    if (match === null) return null;
    const [header, kind, mode, size, mtimeNs, flag, length] = match;
    const start = at + header.length;
    const end = start + Number(length);
    if (end > this.#rest.length) return null;
    const bytes = this.#rest.subarray(start, end);
    if (!isUtf8(bytes)) this.unreadable += 1;
    else if (isKind(kind)) {
      this.entries.push({
        kind,
        path: bytes.toString('utf8'),
        mode: Number.parseInt(mode ?? '0', 8),
        size: Number(size),
        mtimeNs: BigInt(mtimeNs ?? 0),
        copied: flag === 'c',
        opaque: flag === 'q',
      });
    }
    if (this.entries.length > MAX_ENTRIES) throw tooMany();
    return end;
  }
}

function isKind(text: string | undefined): text is SandboxEntry['kind'] {
  return text !== undefined && /^[fdlwo]$/.test(text);
}

function tooMany(): SandboxError {
  return new SandboxError('limit_exceeded', `The workspace has more than ${MAX_ENTRIES} changed entries.`, {
    hint: 'Remove what is not needed, or write it outside the workspace.',
    details: { limit: 'workspace_changes', max: MAX_ENTRIES },
  });
}
