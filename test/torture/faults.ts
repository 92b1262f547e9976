/**
 * What is done to servers, their sandboxes and their machine while they work. Each fault ends before it
 * resolves.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemErrorCode } from '../../src/shared/errors.ts';
import type { Environment } from './environment.ts';
import type { SandboxLedger } from './ledger.ts';
import { limitProcesses } from './pids-limit.ts';
import type { Player } from './player.ts';

export interface Fault {
  readonly name: string;
  /** `machine`: all servers meet it, whatever else happens to them; `process`: ends or stops one server. */
  readonly scope?: 'machine' | 'process';
  /** What it needs of the machine and does not find there; null if it can be tried. */
  lacks(environment: Environment): string | null;
  apply(player: Player): Promise<void>;
}

const everywhere = (): null => null;
const needsRoot = (): string | null => (process.getuid?.() === 0 ? null : 'root');

/** How long a state lasts, in milliseconds. */
function duration(player: Player): number {
  return 200 + player.below(600);
}

const HOUR_MS = 3_600_000;
/** Soft and hard limit of descriptors, in /proc/PID/limits. */
const OPEN_FILES = /^Max open files\s+(\d+)/m;

async function fillDisk(player: Player): Promise<void> {
  const path = join(player.environment.place.home, 'filler');
  const file = openSync(path, 'w');
  try {
    for (let size = 1_048_576; size >= 512; size = Math.floor(size / 2)) fillWith(file, size);
    await delay(duration(player));
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}

function fillWith(file: number, size: number): void {
  const block = Buffer.alloc(size);
  try {
    while (writeSync(file, block) === size);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOSPC') throw error;
  }
}

/** The server may open two more files than it has open now. */
async function limitDescriptors(player: Player): Promise<void> {
  const { pid } = player.server;
  const before = OPEN_FILES.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1] ?? '1024';
  const open = readdirSync(`/proc/${pid}/fd`).length;
  setSoftLimit(pid, open + 2);
  await delay(duration(player));
  setSoftLimit(pid, Number(before));
}

function setSoftLimit(pid: number, limit: number): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:`]);
}

/** A program in a sandbox starts as many processes as it may, which stay until it is killed. */
async function exhaustSandboxProcesses(player: Player): Promise<void> {
  const [sandbox] = player.usable();
  if (sandbox === undefined) return;
  const args = ['-c', 'while :; do sleep 30 & done 2>/dev/null'];
  const request = { sandbox_id: sandbox.sandboxId, cmd: 'bash', args, timeout_ms: 10_000 };
  const answer = await player.server.call('sandbox_run_command_detached', request);
  await delay(duration(player));
  const commandId = answer?.data?.['command_id'];
  if (commandId !== undefined)
    await player.server.call('command_kill', { command_id: commandId, signal: 'SIGKILL' });
}

async function jumpClock(player: Player): Promise<void> {
  const jumpMs = (player.below(2) * 2 - 1) * player.below(2 * HOUR_MS);
  player.environment.setClock(jumpMs);
  await delay(duration(player));
  player.environment.setClock(0);
}

const DAMAGE = ['', '{', 'null', '[]', '{"version":1}', '\0'.repeat(4_096), '['.repeat(10_000)];

/** Overwrites one record of a sandbox, of which then only its removal is promised. */
async function damageRecord(player: Player): Promise<void> {
  const usable = player.usable();
  const sandbox = usable[player.below(usable.length)];
  if (sandbox === undefined) return;
  const paths = recordsOf(player, sandbox);
  const path = paths[player.below(paths.length)];
  if (path === undefined || !existsSync(path)) return;
  sandbox.isDamaged = true;
  sandbox.mayHaveEnded = true;
  writeFileSync(path, DAMAGE[player.below(DAMAGE.length)] ?? '');
}

function recordsOf({ environment }: Player, { sandboxId, keep }: SandboxLedger): string[] {
  const { stateDir } = environment.place;
  const directory = join(stateDir, 'sandboxes', sandboxId);
  const commands = join(directory, 'commands');
  const [command] = existsSync(commands) ? readdirSync(commands) : [];
  return [
    join(directory, 'record.json'),
    // Without it nobody can stop a kept sandbox before its deadline.
    ...(keep ? [] : [join(stateDir, 'records', `${sandboxId}.json`)]),
    ...(command === undefined ? [] : [join(commands, command)]),
    join(stateDir, 'runtime.json'),
  ];
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'SIGKILL',
    scope: 'process',
    lacks: everywhere,
    apply: (player) => player.restart(async (server) => server.signal('SIGKILL')),
  },
  {
    name: 'SIGTERM, SIGKILL soon after',
    scope: 'process',
    lacks: everywhere,
    apply: (player) =>
      player.restart(async (server) => {
        server.signal('SIGTERM');
        await delay(player.below(100));
        server.signal('SIGKILL');
      }),
  },
  {
    name: 'SIGSTOP, SIGCONT',
    scope: 'process',
    lacks: everywhere,
    apply: (player) => player.server.stopFor(duration(player)),
  },
  {
    name: 'full disk',
    scope: 'machine',
    lacks: ({ hasOwnDisk }) => (hasOwnDisk ? null : 'root, to mount a small disk'),
    apply: fillDisk,
  },
  { name: 'no descriptors left', lacks: everywhere, apply: limitDescriptors },
  {
    name: 'no processes left for the server',
    lacks: needsRoot,
    apply: (player) => limitProcesses(player.server.pid, () => delay(duration(player))),
  },
  { name: 'no processes left in a sandbox', lacks: everywhere, apply: exhaustSandboxProcesses },
  { name: 'clock jumps', scope: 'machine', lacks: everywhere, apply: jumpClock },
  {
    name: 'runtime fails',
    scope: 'machine',
    lacks: everywhere,
    apply: (player) => breakRuntime(player, 'fails'),
  },
  {
    name: 'runtime hangs',
    scope: 'machine',
    lacks: everywhere,
    apply: (player) => breakRuntime(player, 'hangs'),
  },
  { name: 'damaged record', lacks: everywhere, apply: damageRecord },
];

async function breakRuntime(player: Player, mode: 'fails' | 'hangs'): Promise<void> {
  player.environment.setRuntime(mode);
  await delay(duration(player));
  player.environment.setRuntime('works');
}
