/** Lists and scans files with scripts. */
import type { Session } from '@vercel/sandbox';
import { SandboxError } from '../../../shared/errors.ts';
import type {
  FileExplorer,
  ListDirectories,
  ListedDirectory,
  ListedEntry,
  ScanFiles,
  ScanRecord,
} from '../../engine.ts';
import { LIST, MAX_SCAN_OUTPUT, SCAN } from '../guest/explore-scripts.ts';
import { refusal } from '../guest/file-scripts.ts';
import { runScript } from '../guest/run-script.ts';

/** Entries of a directory in the output of one script. */
const MAX_LISTED = 20_000;
/** A longer line is reported up to here. */
const MAX_PIECE = 16_384;
/** `./`, which keeps names that start with a dash from being options. */
const HERE = 2;
/** Longer than the numbers before a line. */
const MAX_NUMBERS = 40;
const NEWLINE = 0x0a;

/** Runs something in a session, with its errors converted. */
export type InSession = <Result>(work: (session: Session) => Promise<Result>) => Promise<Result>;

export class VercelExplorer implements FileExplorer {
  readonly #inSession: InSession;
  readonly #signal: AbortSignal;

  constructor(inSession: InSession, signal: AbortSignal) {
    this.#inSession = inSession;
    this.#signal = signal;
  }

  async list(request: ListDirectories): Promise<(ListedDirectory | null)[]> {
    const { directories, after, details } = request;
    const limit = Math.min(request.limit, MAX_LISTED);
    const cursor = after === undefined ? '' : encoded(`${after}/`);
    const paths = directories.map((path) => encoded(path.endsWith('/') ? path : `${path}/`));
    const output = await this.#run(LIST, [cursor, String(limit), details ? '1' : '0', ...paths]);
    return readDirectories(output.toString('latin1'), limit, directories.length);
  }

  scan(request: ScanFiles): AsyncIterable<ScanRecord> {
    const first = this.#scanOnce(request, 0);
    // A failure is reported to the reader.
    first.catch(() => {});
    return this.#records(request, first);
  }

  close(): void {
    // Each request is a script of its own; the signal ends a running one.
  }

  async *#records(request: ScanFiles, first: Promise<Scanned>): AsyncGenerator<ScanRecord> {
    let scanned = await first;
    for (;;) {
      yield* scanned.records;
      if (scanned.next >= request.files.length) return;
      scanned = await this.#scanOnce(request, scanned.next);
    }
  }

  async #scanOnce({ directory, files, literals, ignoreCase }: ScanFiles, from: number): Promise<Scanned> {
    const names = files.slice(from).map((name) => `${name}\0`);
    const args = [
      encoded(directory),
      ignoreCase ? '-i' : '',
      encoded(names.join('')),
      ...literals.map(encoded),
    ];
    return readScan(await this.#run(SCAN, args), files, from);
  }

  #run(script: string, args: string[]): Promise<Buffer> {
    return this.#inSession(async (session) => {
      const result = await runScript(session, script, args, { signal: this.#signal });
      const refused = refusal(result, session.cwd, 'read');
      if (refused !== null) throw refused;
      return Buffer.from(result.stdout, 'base64');
    });
  }
}

function readDirectories(output: string, limit: number, count: number): (ListedDirectory | null)[] {
  const listed: (ListedDirectory | null)[] = [];
  let current: ListedDirectory | null = null;
  for (const record of output.split('\0').slice(0, -1)) {
    if (record === '/X') listed.push(null);
    else if (record.startsWith('/D ')) {
      const [, git, ignore = ''] = record.split(' ');
      const ignoreFile = Buffer.from(ignore, 'base64').toString('latin1');
      current = { entries: [], hasMore: false, hasGit: git === '1', ignoreFile };
      listed.push(current);
    } else if (record !== '/E') {
      if (current === null) throw malformed();
      if (current.entries.length < limit) current.entries.push(readEntry(record));
      else current.hasMore = true;
    }
  }
  if (listed.length !== count) throw malformed();
  return listed;
}

function readEntry(record: string): ListedEntry {
  const slash = record.indexOf('/');
  const [kind, size, time] = record.slice(slash + 1).split(' ');
  const entry = {
    name: record.slice(0, slash),
    type: typeOf(kind),
    sizeBytes: Number(size),
    mtimeMs: Math.max(0, Math.round(Number(time) * 1_000)),
  };
  const isName = slash > 0 && entry.name !== '.' && entry.name !== '..';
  if (isName && Number.isSafeInteger(entry.sizeBytes) && Number.isSafeInteger(entry.mtimeMs)) return entry;
  throw malformed();
}

function typeOf(kind: string | undefined): ListedEntry['type'] {
  if (kind === 'f') return 'file';
  if (kind === 'd') return 'directory';
  return kind === 'l' ? 'symlink' : 'other';
}

interface Scanned {
  records: ScanRecord[];
  /** The index of the first file that was not scanned. */
  next: number;
}

function readScan(output: Buffer, files: readonly string[], from: number): Scanned {
  const isCut = output.length >= MAX_SCAN_OUTPUT;
  const indexes = new Map(files.map((name, index) => [name, index]));
  const indexOf = (name: string): number => {
    const index = indexes.get(name.slice(HERE));
    if (index === undefined || index < from) throw malformed();
    return index;
  };
  const records: ScanRecord[] = [];
  let at = 0;
  for (const kind of ['binary', 'unreadable'] as const) {
    for (;;) {
      const end = output.indexOf(0, at);
      // So many binary files that their names alone fill the answer: not with the names of one request.
      if (end === -1) throw malformed();
      const name = output.toString('latin1', at, end);
      at = end + 1;
      if (name === '') break;
      records.push({ kind, file: indexOf(name) });
    }
  }
  let last = from;
  for (;;) {
    const nameEnd = output.indexOf(0, at);
    if (nameEnd === -1) break;
    const newline = output.indexOf(NEWLINE, nameEnd);
    const lineEnd = newline === -1 ? output.length : newline;
    // Cut within its numbers: the line is that of a file that is reported as truncated.
    if (newline === -1 && output.length - nameEnd < MAX_NUMBERS) break;
    last = indexOf(output.toString('latin1', at, nameEnd));
    records.push(readLine(output.subarray(nameEnd + 1, lineEnd), last));
    at = lineEnd + 1;
  }
  const next = isCut ? last + 1 : files.length;
  if (isCut) records.push({ kind: 'truncated', file: last });
  return { records: records.filter(({ file }) => file < next).sort((a, b) => a.file - b.file), next };
}

/** `line:offset:text` */
function readLine(text: Buffer, file: number): ScanRecord {
  const first = text.indexOf(':');
  const second = text.indexOf(':', first + 1);
  const line = Number(text.toString('latin1', 0, first));
  const offset = Number(text.toString('latin1', first + 1, second));
  if (second === -1 || !Number.isSafeInteger(line) || !Number.isSafeInteger(offset)) throw malformed();
  return { kind: 'line', file, line, offset, data: text.subarray(second + 1, second + 1 + MAX_PIECE) };
}

function encoded(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64');
}

function malformed(): SandboxError {
  return new SandboxError('server', 'The sandbox answered a list or search in an unknown form.', {
    hint: 'Call again; sandbox_run_command (cmd: "ls") shows whether its programs work.',
  });
}
