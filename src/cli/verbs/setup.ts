/** The verb `setup`: adds this server to the settings of clients, or removes it. */
import { createTwoFilesPatch } from 'diff';
import type { UserFolders } from '../../config/user-folders.ts';
import { SandboxError } from '../../shared/errors.ts';
import { pathExists } from '../../shared/fs/path-exists.ts';
import { printable } from '../output/print-output.ts';
import type { Terminal } from '../output/terminal.ts';
import { CLIENTS, type Client, type ServerCommand } from '../setup/clients.ts';
import { applyChange, changeToAdd, changeToRemove, type EntryChange } from '../setup/entry-change.ts';

export interface SetupRequest {
  /** A name of `CLIENTS`; null for every client that is installed. */
  readonly client: string | null;
  readonly remove: boolean;
  /** Do not ask. */
  readonly yes: boolean;
  /** The server that a client, named as in `CLIENTS`, is to start. */
  serverFor(client: string): ServerCommand;
  /** Called once, after a change was agreed to and before it is made. */
  prepare(): Promise<void>;
}

export interface SetupSurroundings {
  readonly folders: UserFolders;
  readonly platform: NodeJS.Platform;
  readonly terminal: Terminal;
  /** Resolves to the line that the user types; null if nobody can be asked. */
  ask(question: string): Promise<string | null>;
}

/** Returns the exit code: 0 if every client is set up, or has been by the user's choice left alone. */
export async function setup(request: SetupRequest, surroundings: SetupSurroundings): Promise<number> {
  const { terminal } = surroundings;
  const chosen = await chosenClients(request.client, surroundings);
  if (chosen.length === 0) {
    terminal.err(`sandbox-mcp: no client was found. Name one: ${names()}.\n`);
    return 1;
  }
  let failed = false;
  let prepared: Promise<void> | null = null;
  const prepare = () => {
    prepared ??= request.prepare();
    return prepared;
  };
  for (const { client, file } of chosen) {
    try {
      const change = request.remove
        ? await changeToRemove(client, file)
        : await changeToAdd(client, file, request.serverFor(client.name));
      failed = !(await makeChange(client, change, { ...request, prepare }, surroundings)) || failed;
    } catch (error) {
      if (!(error instanceof SandboxError) || chosen.length === 1) throw error;
      terminal.err(`${client.title}: ${error.message}\n  ${error.hint}\n`);
      failed = true;
    }
  }
  return failed ? 1 : 0;
}

/** False if nobody could be asked. */
async function makeChange(
  client: Client,
  change: EntryChange,
  request: SetupRequest,
  { terminal, ask }: SetupSurroundings,
): Promise<boolean> {
  const { file, before, after, backup } = change;
  if (before === after) {
    terminal.out(`${client.title}: ${file} ${request.remove ? 'has no such server' : 'is up to date'}\n`);
    return true;
  }
  terminal.out(`${client.title}:\n${diffOf(change)}`);
  if (!request.yes) {
    const answer = await ask(`Change ${file}? [y/N] `);
    if (answer === null) {
      terminal.err('Nothing was changed. Run it with --yes to make this change without being asked.\n');
      return false;
    }
    if (!/^y(es)?$/i.test(answer.trim())) {
      terminal.out(`${client.title}: left as it is\n`);
      return true;
    }
  }
  await request.prepare();
  await applyChange(change);
  const kept = backup === null ? '' : ` (the previous file is ${backup})`;
  terminal.out(`${client.title}: ${request.remove ? 'removed' : 'added'}${kept}. Restart the client.\n`);
  return true;
}

async function chosenClients(
  name: string | null,
  { folders, platform }: SetupSurroundings,
): Promise<{ client: Client; file: string }[]> {
  if (name !== null) {
    const client = CLIENTS.find((one) => one.name === name);
    if (client === undefined)
      throw new SandboxError(
        'invalid_argument',
        `${JSON.stringify(name)} is not a known client; use ${names()}.`,
        {
          hint: 'docs/clients.md shows how to set up others by hand.',
        },
      );
    const [preferred] = client.places(folders, platform);
    const file = (await fileOf(client, folders, platform)) ?? preferred?.file;
    return file === undefined ? [] : [{ client, file }];
  }
  const found = await Promise.all(
    CLIENTS.map(async (client) => ({ client, file: await fileOf(client, folders, platform) })),
  );
  return found.flatMap(({ client, file }) => (file === null ? [] : [{ client, file }]));
}

/** The client's settings file; one that does not exist yet only if the client is installed. Null without. */
async function fileOf(
  client: Client,
  folders: UserFolders,
  platform: NodeJS.Platform,
): Promise<string | null> {
  const places = client.places(folders, platform);
  for (const { file } of places) if (await pathExists(file)) return file;
  for (const { file, evidence } of places) if (await pathExists(evidence)) return file;
  return null;
}

function names(): string {
  return CLIENTS.map(({ name }) => name).join(', ');
}

function diffOf({ file, before, after }: EntryChange): string {
  const patch = createTwoFilesPatch(
    before === null ? '/dev/null' : file,
    after === null ? '/dev/null' : file,
    before ?? '',
    after ?? '',
    undefined,
    undefined,
    { context: 3 },
  );
  return printable(patch.replace(/^(Index: .*\n)?=+\n/, ''));
}
