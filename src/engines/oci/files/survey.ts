import { SandboxError } from '../../../shared/errors.ts';
import type { OnLeftOut, SurveyedEntry } from '../../workspace/uploads/guest-access.ts';
import type { AgentConnection } from '../protocol/agent-connection.ts';
import { Fields, FRAME, TAG } from '../protocol/frames.ts';

const TYPES: Record<string, SurveyedEntry['type']> = { f: 'file', d: 'directory', l: 'symlink' };
/** Of an entry that the agent leaves out. */
const SKIPPED = 's';
/** Reasons of the agent; any other means that the entry could not be read. */
const SPECIAL = ['fifo', 'socket', 'device'];
const PERMISSION_BITS = 0o7777;

/** Entries of a tree as they arrive, without contents. */
export async function* receiveSurvey(
  connection: AgentConnection,
  onLeftOut: OnLeftOut,
): AsyncGenerator<SurveyedEntry> {
  for (;;) {
    const { type, body } = await connection.expect(FRAME.ENTRY, FRAME.END);
    if (type === FRAME.END) return;
    const fields = new Fields(body);
    const kind = fields.text(TAG.kind);
    if (kind === SKIPPED) {
      const why = SPECIAL.includes(fields.text(TAG.what)) ? 'special' : 'unreadable';
      onLeftOut(fields.text(TAG.entryPath), why);
    } else yield surveyed(fields, kind);
  }
}

function surveyed(fields: Fields, kind: string): SurveyedEntry {
  const type = TYPES[kind];
  if (type === undefined)
    throw new SandboxError('server', 'The sandbox’s agent sent an entry of an unknown type.');
  return {
    path: fields.text(TAG.entryPath),
    type,
    mode: fields.number(TAG.statMode) & PERMISSION_BITS,
    sizeBytes: fields.number(TAG.size),
    mtimeMs: fields.number(TAG.mtimeMs),
    changedUs: fields.number(TAG.changedUs),
    linkTarget: type === 'symlink' ? fields.text(TAG.link) : null,
  };
}
