/**
 * Errors for unknown ids, with a single wording, so that another principal's object is indistinguishable from
 * one that never existed.
 */
import { SandboxError } from './errors.ts';

/** For text that was sent as an id. */
const SHOWN_CHARACTERS = 80;

function unknown(noun: 'sandbox' | 'command' | 'snapshot', id: string, hint: string, why = ''): SandboxError {
  const shown = id.slice(0, SHOWN_CHARACTERS);
  return new SandboxError('not_found', `There is no ${noun} ${JSON.stringify(shown)}${why}.`, {
    hint,
    details: { [`${noun}_id`]: shown },
  });
}

/** The `not_found` of a sandbox id. */
export function unknownSandbox(sandboxId: string): SandboxError {
  const hint = 'Call sandbox_list to see your sandboxes, or sandbox_create for a new one.';
  return unknown('sandbox', sandboxId, hint);
}

/** The `not_found` of a command id. */
export function unknownCommand(commandId: string): SandboxError {
  const hint = 'Call session_info for the running commands, or start one with sandbox_run_command.';
  return unknown('command', commandId, hint);
}

/**
 * The `not_found` of a snapshot id. @param why continues the sentence, for callers who may know what became
 * of the snapshot
 */
export function unknownSnapshot(snapshotId: string, why = ''): SandboxError {
  const hint = 'Call snapshot_list to see your snapshots, or sandbox_create without a source.';
  return unknown('snapshot', snapshotId, hint, why);
}

/** The `conflict` of a command id that is already in use. */
export function duplicateCommand(): SandboxError {
  return new SandboxError('conflict', 'A command with this id was already started; it is not run twice.', {
    hint: 'Call sandbox_get_command to see its state.',
  });
}
