/** Lists a tree in the sandbox without its contents: one script writes the list, one call brings it out. */
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Session } from '@vercel/sandbox';
import { SandboxError } from '../../../shared/errors.ts';
import type { OnLeftOut, SurveyedEntry } from '../../workspace/uploads/guest-access.ts';
import type { VercelContext } from '../context.ts';
import { REMOVE, refusal, SURVEY } from '../guest/file-scripts.ts';
import { runScript } from '../guest/run-script.ts';
import { stageName } from '../guest/stage-name.ts';
import { explain, inSession } from '../sandbox/get-sandbox.ts';

const SURVEY_MS = 290_000;
const CLEAN_MS = 10_000;
const PERMISSION_BITS = 0o7777;
/** More than a path and a link's target can have. */
const MAX_RECORD = 65_536;
/** Of a whole list: a small file may unpack to any size. */
const MAX_LIST = 1_073_741_824;

const TYPES: Readonly<Record<string, SurveyedEntry['type']>> = { f: 'file', d: 'directory', l: 'symlink' };
const UNREADABLE = 'x';
const LAST = 'e';

/** @throws SandboxError */
export async function* surveyTree(
  context: VercelContext,
  sandboxId: string,
  path: string,
  signal: AbortSignal,
  onLeftOut: OnLeftOut,
): AsyncGenerator<SurveyedEntry> {
  const doing = 'list a file tree';
  const list = `${stageName()}.list.gz`;
  const stream = await inSession(context, sandboxId, doing, signal, async (session) => {
    try {
      const result = await runScript(session, SURVEY, [path, list], { signal, timeoutMs: SURVEY_MS });
      const refused = refusal(result, path, 'read');
      if (refused !== null) throw refused;
      const found = await session.readFile({ path: list }, { signal });
      if (found === null) throw malformed();
      return Readable.from(found);
    } finally {
      // What has been opened is still sent.
      await remove(context, session, list);
    }
  });
  const unpacked = stream.pipe(createGunzip());
  // `pipe` does not propagate errors of its source.
  stream.on('error', (error) => unpacked.destroy(error));
  try {
    yield* readSurvey(unpacked, onLeftOut);
  } catch (error) {
    throw await explain(context, sandboxId, doing, signal, error);
  } finally {
    stream.destroy();
    unpacked.destroy();
  }
}

/** Two texts for each entry, ended by NUL: its properties with its path, and the target of a link. */
async function* readSurvey(
  chunks: AsyncIterable<Buffer>,
  onLeftOut: OnLeftOut,
): AsyncGenerator<SurveyedEntry> {
  let head: string | null = null;
  let isWhole = false;
  for await (const text of texts(chunks)) {
    if (head === null) {
      head = text;
      continue;
    }
    const [kind = '', mode = '', size, modified, changed, ...rest] = head.split(' ');
    head = null;
    if (rest.length === 0 || isWhole) throw malformed();
    const path = rest.join(' ');
    const type = TYPES[kind];
    if (kind === LAST) isWhole = true;
    else if (kind === UNREADABLE) onLeftOut(path, 'unreadable');
    else if (type === undefined) onLeftOut(path, 'special');
    else {
      yield {
        path,
        type,
        mode: Number.parseInt(mode, 8) & PERMISSION_BITS,
        sizeBytes: Number(size),
        mtimeMs: Math.max(0, Math.round(Number(modified) * 1_000)),
        changedUs: Math.round(Number(changed) * 1_000_000),
        linkTarget: type === 'symlink' ? text : null,
      };
    }
  }
  if (!isWhole) throw malformed();
}

async function* texts(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = Buffer.alloc(0);
  let left = MAX_LIST;
  for await (const chunk of chunks) {
    left -= chunk.length;
    if (left < 0) throw malformed();
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (let end = bytes.indexOf(0); end !== -1; end = bytes.indexOf(0, at)) {
      yield bytes.toString('utf8', at, end);
      at = end + 1;
    }
    rest = Buffer.from(bytes.subarray(at));
    if (rest.length > MAX_RECORD) throw malformed();
  }
}

function malformed(): SandboxError {
  return new SandboxError('server', 'The sandbox listed its files in an unknown form.', {
    hint: 'Call again; sandbox_run_command (cmd: "find") shows whether its programs work.',
  });
}

/** Never rejects. */
async function remove(context: VercelContext, session: Session, path: string): Promise<void> {
  try {
    await runScript(session, REMOVE, [path], { signal: AbortSignal.timeout(CLEAN_MS) });
  } catch (error) {
    context.log.debug({ err: error }, 'cannot remove a list of files');
  }
}
