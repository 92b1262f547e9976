/** Lists and scans files over one connection to the agent. */
import { SandboxError } from '../../../shared/errors.ts';
import type {
  FileExplorer,
  ListDirectories,
  ListedDirectory,
  ListedEntry,
  ScanFiles,
  ScanRecord,
} from '../../engine.ts';
import { type AgentConnection, AgentError } from '../protocol/agent-connection.ts';
import { encodeFields, type FieldValue, FRAME, TAG } from '../protocol/frames.ts';
import { malformedRecord, RecordReader } from '../protocol/record-reader.ts';

const ENTRY_TYPES: Record<string, ListedEntry['type']> = {
  f: 'file',
  d: 'directory',
  l: 'symlink',
  o: 'other',
};
const MARKS: Record<string, 'binary' | 'unreadable' | 'truncated' | 'end'> = {
  b: 'binary',
  x: 'unreadable',
  t: 'truncated',
  e: 'end',
};
const LINE = 'l';
const MAX_LISTED = 100_000;
const MAX_IGNORE_FILE = 32_768;
const MAX_PIECE = 16_384;
/** Fixed parts of records, in bytes; an entry with the longest name. */
const DIRECTORY_HEADER = 17;
const MAX_ENTRY = 17 + 256;
const LINE_HEADER = 21;

export class OciExplorer implements FileExplorer {
  readonly #connection: AgentConnection;
  readonly #translate: (error: unknown) => Promise<unknown>;

  /** @param translate converts errors of the connection for the caller */
  constructor(connection: AgentConnection, translate: (error: unknown) => Promise<unknown>) {
    this.#connection = connection;
    this.#translate = translate;
  }

  async list(request: ListDirectories): Promise<(ListedDirectory | null)[]> {
    const fields: [number, FieldValue][] = [
      ...request.directories.map((path): [number, FieldValue] => [TAG.paths, bytes(path)]),
      [TAG.limit, request.limit],
      [TAG.details, request.details ? 1 : 0],
    ];
    if (request.after !== undefined) fields.push([TAG.after, bytes(request.after)]);
    try {
      await this.#connection.send(FRAME.LIST, encodeFields(fields));
      const reader = new RecordReader(this.#connection);
      const listed: (ListedDirectory | null)[] = [];
      for (const _path of request.directories) listed.push(await readDirectory(reader, request.limit));
      await reader.requireEnd();
      return listed;
    } catch (error) {
      throw await this.#translate(earlierAgent(error));
    }
  }

  scan(request: ScanFiles): AsyncIterable<ScanRecord> {
    const fields: [number, FieldValue][] = [
      [TAG.path, bytes(request.directory)],
      [TAG.fold, request.ignoreCase ? 1 : 0],
      ...request.literals.map((literal): [number, FieldValue] => [TAG.literals, bytes(literal)]),
      ...request.files.map((path): [number, FieldValue] => [TAG.paths, bytes(path)]),
    ];
    const sent = this.#connection.send(FRAME.SCAN, encodeFields(fields));
    // A failure is reported to the reader.
    sent.catch(() => {});
    return this.#records(sent, request.files.length);
  }

  close(): void {
    this.#connection.close();
  }

  async *#records(sent: Promise<void>, files: number): AsyncGenerator<ScanRecord> {
    try {
      await sent;
      const reader = new RecordReader(this.#connection);
      let last = 0;
      for (;;) {
        if (reader.available === 0) await reader.ensure(1);
        if (reader.available === 0) return;
        const record = await readRecord(reader);
        if (record.file < last || record.file >= files) throw malformedRecord();
        last = record.file;
        yield record;
      }
    } catch (error) {
      throw await this.#translate(earlierAgent(error));
    }
  }
}

/** @param limit that was asked for: many directories with more would fill the memory of this process */
async function readDirectory(reader: RecordReader, limit: number): Promise<ListedDirectory | null> {
  await reader.ensure(DIRECTORY_HEADER);
  if (reader.u32() !== 0) return null;
  const count = reader.u32();
  const hasMore = reader.u32() > 0;
  const hasGit = reader.u8() !== 0;
  const ignoreLength = reader.u32();
  if (count > Math.min(limit, MAX_LISTED) || ignoreLength > MAX_IGNORE_FILE) throw malformedRecord();
  await reader.ensure(ignoreLength);
  const ignoreFile = reader.bytes(ignoreLength).toString('latin1');
  const entries: ListedEntry[] = [];
  for (let index = 0; index < count; index++) {
    if (reader.available < MAX_ENTRY) await reader.ensure(MAX_ENTRY);
    const type = ENTRY_TYPES[String.fromCharCode(reader.u8())];
    if (type === undefined) throw malformedRecord();
    const sizeBytes = reader.u64();
    const mtimeMs = reader.u64();
    const name = reader.text();
    if (name === '' || name === '.' || name === '..' || name.includes('/')) throw malformedRecord();
    entries.push({ name, type, sizeBytes, mtimeMs });
  }
  return { entries, hasMore, hasGit, ignoreFile };
}

async function readRecord(reader: RecordReader): Promise<ScanRecord> {
  if (reader.available < LINE_HEADER) await reader.ensure(LINE_HEADER);
  const letter = String.fromCharCode(reader.u8());
  const file = reader.u32();
  const kind = MARKS[letter];
  if (kind !== undefined) return { kind, file };
  if (letter !== LINE) throw malformedRecord();
  const line = reader.u32();
  const offset = reader.u64();
  const length = reader.u32();
  if (length > MAX_PIECE) throw malformedRecord();
  if (reader.available < length) await reader.ensure(length);
  return { kind: 'line', file, line, offset, data: reader.bytes(length) };
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** The agent of a sandbox that an earlier version made does not know these requests. */
function earlierAgent(error: unknown): unknown {
  if (!(error instanceof AgentError) || error.errno !== 'EPROTO') return error;
  return new SandboxError('unsupported', 'This sandbox was made by an earlier version of sandbox-mcp.', {
    hint: 'Use sandbox_run_command (cmd: "find" or "grep"), or create a new sandbox.',
    cause: error,
  });
}
