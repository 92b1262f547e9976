import { createHash, randomBytes } from 'node:crypto';

/** Lower-case letters and digits that cannot be confused with one another. */
const ALPHABET = '23456789abcdefghjkmnpqrstuvwxyz';

function randomWord(length: number): string {
  let word = '';
  while (word.length < length) {
    for (const byte of randomBytes(length)) {
      // Bytes past the last whole multiple would bias the result towards the first letters.
      if (byte < ALPHABET.length * 8 && word.length < length) word += ALPHABET[byte % ALPHABET.length];
    }
  }
  return word;
}

const SANDBOX_ID = /^sbx_[2-9a-z]{12}$/;
/** Our ids have twelve characters; platforms that choose their own use longer ones. */
const SNAPSHOT_ID = /^snap_[0-9A-Za-z_-]{6,80}$/;
const COMMAND_ID = /^cmd_([2-9a-z]{12})_[2-9a-z]{8}$/;

/** `sbx_` and 12 characters. */
export function newSandboxId(): string {
  return `sbx_${randomWord(12)}`;
}

/** The id of the sandbox that an owner calls by this name: always the same, on every machine. */
export function namedSandboxId(owner: string, name: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([owner, name]))
    .digest();
  const letters = [...digest.subarray(0, 12)].map((byte) => ALPHABET[byte % ALPHABET.length]);
  return `sbx_${letters.join('')}`;
}

/** `cmd_`, the sandbox's 12 characters and 8 random ones, so that the id alone identifies the sandbox. */
export function newCommandId(sandboxId: string): string {
  return `cmd_${sandboxId.slice('sbx_'.length)}_${randomWord(8)}`;
}

/** `shl_`, the sandbox's 12 characters and 8 random ones. */
export function newShellId(sandboxId: string): string {
  return `shl_${sandboxId.slice('sbx_'.length)}_${randomWord(8)}`;
}

/** `snap_` and 12 characters. */
export function newSnapshotId(): string {
  return `snap_${randomWord(12)}`;
}

/** True for a well-formed snapshot id; only such a string may become part of a path. */
export function isSnapshotId(text: string): boolean {
  return SNAPSHOT_ID.test(text);
}

/** The id of the session that a client calls by this name: the same on every replica. */
export function namedSessionId(name: string): string {
  const digest = createHash('sha256').update(name).digest();
  const letters = [...digest.subarray(0, 12)].map((byte) => ALPHABET[byte % ALPHABET.length]);
  return `ses_${letters.join('')}`;
}

/** `ses_` and 12 characters. */
export function newSessionId(): string {
  return `ses_${randomWord(12)}`;
}

/** True for a well-formed sandbox id; only such a string may become part of a path. */
export function isSandboxId(text: string): boolean {
  return SANDBOX_ID.test(text);
}

/** The sandbox id in a command id, or null if the text is not a command id. */
export function sandboxIdOfCommand(commandId: string): string | null {
  const match = COMMAND_ID.exec(commandId);
  return match?.[1] === undefined ? null : `sbx_${match[1]}`;
}
