/**
 * Many clients at one server over HTTP: each makes a sandbox, works there, and goes away without ending its
 * session; then the same again, with SIGTERM in the middle.
 */
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { leftovers, sandboxCgroups, waitForCleanUps } from '../support/leftovers.ts';
import { type Outcome, SoakClient } from './soak-client.ts';
import { type SoakServer, startSoakServer, TOKENS } from './soak-server.ts';

/** Sandboxes of clients without sessions, which no session ends. Commands extend it. */
const LIFETIME_MS = 10_000;
const IDLE_MS = 2_000;
/** How much longer each client has for its next call, which waits for those of all others. */
const TURN_MS = 150;
/** For what ends by itself to have ended, on a busy machine. */
const ENDED_MS = 300_000;
/** For memory to return to what it was. */
const SETTLED_MS = 90_000;
/** What memory may be at rest, of what it was after the first clients. */
export const MEMORY_FACTOR = 1.2;

interface SoakOptions {
  readonly sessions: number;
  /** Rounds of all sessions before the one with the signal. */
  readonly rounds: number;
  notify?(line: string): void;
  /** Where the server's log goes, for whoever looks for the cause of a violation. */
  readonly logFile?: string | undefined;
}

interface SoakReport {
  /** What became of the calls, by kind; errors of tools with their code. */
  readonly calls: ReadonlyMap<string, number>;
  /** Broken promises, as sentences. */
  readonly violations: string[];
  /** Resident megabytes of the server: after the first clients, and after each round. */
  readonly memoryMb: readonly number[];
}

/** Runs the soak with a server of its own. */
export async function soak({
  sessions,
  rounds,
  notify = () => {},
  logFile,
}: SoakOptions): Promise<SoakReport> {
  const home = await mkdtemp(join(tmpdir(), 's-'));
  // Sandbox users work below it.
  await chmod(home, 0o711);
  const stateDir = join(home, 's');
  const cgroupsBefore = new Set(sandboxCgroups());
  const server = await startSoakServer(stateDir, `${IDLE_MS + sessions * TURN_MS}ms`);
  const run = new Soak(server, LIFETIME_MS + 2 * sessions * TURN_MS);
  const memoryMb: number[] = [];
  try {
    // What the first clients make the server load does not count.
    await run.round(Math.min(10, sessions));
    await run.untilIdle();
    memoryMb.push(server.residentMb());
    for (let round = 1; round <= rounds; round++) {
      await run.round(sessions);
      await run.untilIdle();
      memoryMb.push(await settledMb(server, memoryMb[0] ?? 0));
      notify(
        `round ${round}: ${[...run.calls].map((entry) => entry.join(' ')).join(', ')}; ${memoryMb.at(-1)?.toFixed(0)} MB`,
      );
    }
    await run.roundWithSignal(sessions);
    const code = await server.exited;
    if (code !== 0) run.violations.push(`the server exited with ${code}`);
    await waitForCleanUps(stateDir);
    run.violations.push(...(await leftAfter(server, home, cgroupsBefore, run.sandboxIds)));
  } finally {
    server.signal('SIGKILL');
    await server.exited;
    if (logFile !== undefined) await writeFile(logFile, server.logged());
    await rm(home, { recursive: true, force: true });
  }
  return { calls: run.calls, violations: run.violations, memoryMb };
}

/** Resident megabytes, once the garbage of the busy time has been collected: a server at rest does that by itself. */
async function settledMb(server: SoakServer, startMb: number): Promise<number> {
  const until = performance.now() + SETTLED_MS;
  while (server.residentMb() > MEMORY_FACTOR * startMb && performance.now() < until) await delay(500);
  return server.residentMb();
}

class Soak {
  readonly calls = new Map<string, number>();
  readonly violations: string[] = [];
  /** Of those that clients were told of. */
  readonly sandboxIds = new Set<unknown>();
  readonly #server: SoakServer;
  readonly #lifetimeMs: number;
  readonly #state = { ending: false };
  #clients = 0;

  constructor(server: SoakServer, lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs;
    this.#server = server;
  }

  /** All sessions at once, until every client has gone. */
  async round(sessions: number): Promise<void> {
    await Promise.all(Array.from({ length: sessions }, () => this.#work(this.#client(), () => {})));
  }

  /** The same, with SIGTERM once half of the clients have their sandboxes. */
  async roundWithSignal(sessions: number): Promise<void> {
    let created = 0;
    const onCreated = (): void => {
      created += 1;
      if (created !== Math.ceil(sessions / 2)) return;
      this.#state.ending = true;
      this.#server.signal('SIGTERM');
    };
    await Promise.all(Array.from({ length: sessions }, () => this.#work(this.#client(), onCreated)));
    if (!this.#state.ending) this.violations.push('too few clients had a sandbox to send the signal');
  }

  /** Until the clients' sessions and sandboxes have ended by themselves. */
  async untilIdle(): Promise<void> {
    const until = performance.now() + ENDED_MS;
    for (;;) {
      const [sessions, sandboxes] = await Promise.all([
        this.#server.metric('sandbox_mcp_sessions'),
        this.#server.metric('sandbox_mcp_in_use{kind="sandboxes"}'),
      ]);
      if (sessions + sandboxes === 0) return;
      if (performance.now() > until) {
        this.violations.push(`${sessions} sessions and ${sandboxes} sandboxes did not end by themselves`);
        return;
      }
      await delay(200);
    }
  }

  /** Every fourth client has no session. */
  #client(): SoakClient {
    this.#clients += 1;
    const { token = '' } = TOKENS[this.#clients % TOKENS.length] ?? {};
    const conversation = this.#clients % 4 === 0 ? `conversation ${this.#clients}` : null;
    return new SoakClient({ url: this.#server.url, token, server: this.#state, conversation });
  }

  async #work(client: SoakClient, onCreated: () => void): Promise<void> {
    const mark = `mark-${this.#clients}`;
    const call = async (name: string, args: Record<string, unknown>): Promise<Outcome> =>
      this.#count(await client.call(name, args));
    const connected = this.#count(await client.connect());
    if (connected.kind !== 'answered') return;
    const created = await call('sandbox_create', { timeout_ms: this.#lifetimeMs });
    onCreated();
    if (created.kind === 'answered') this.sandboxIds.add(created.data['sandbox_id']);
    const files = [{ path: 'note', content: mark }];
    const written = await call('sandbox_write_files', { files });
    const read = await call('sandbox_run_command', { cmd: 'cat', args: ['note'] });
    if (isSuccess(written) && isSuccess(read) && read.data['stdout'] !== mark)
      this.violations.push(`a command answered ${JSON.stringify(read.data['stdout'])}, not ${mark}`);
    // The client goes away in the middle of this call.
    const last = call('sandbox_run_command', { cmd: 'sleep', args: ['2'], wait_ms: 50_000 });
    if (!this.#state.ending) await client.drop();
    await last;
  }

  #count(outcome: Outcome): Outcome {
    const key =
      outcome.kind === 'answered'
        ? `answered ${outcome.code ?? 'ok'}`
        : outcome.kind === 'refused'
          ? `refused ${outcome.status}`
          : outcome.kind;
    this.calls.set(key, (this.calls.get(key) ?? 0) + 1);
    if (outcome.kind === 'lost') this.violations.push(`a call was lost: ${outcome.reason}`);
    // The first is a defect of the server, the second one of this program.
    if (outcome.kind === 'answered' && (outcome.code === 'internal' || outcome.code === 'invalid_argument'))
      this.violations.push(`a call was answered with ${outcome.code}`);
    return outcome;
  }
}

function isSuccess(outcome: Outcome): outcome is Outcome & { kind: 'answered' } {
  return outcome.kind === 'answered' && outcome.code === null;
}

/** What a server that has exited has left: processes, mounts, cgroups, its port, and files of sandboxes. */
async function leftAfter(
  server: SoakServer,
  home: string,
  cgroupsBefore: ReadonlySet<string>,
  sandboxIds: ReadonlySet<unknown>,
): Promise<string[]> {
  const logged = server.logged();
  // Other servers on this machine create sandboxes, too.
  const isOurs = (text: string): boolean => {
    const [id] = /sbx_\w+/.exec(text) ?? [];
    return !text.startsWith('cgroup ') || id === undefined || sandboxIds.has(id) || logged.includes(id);
  };
  const things = leftovers(home, cgroupsBefore).filter(
    (text) => !text.startsWith('temporary file ') && isOurs(text),
  );
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  const isOpen = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return [...things, ...(isOpen ? ['its port is still open'] : []), ...(await largeFiles(home))].map(
    (thing) => `left: ${thing}`,
  );
}

/** Layers of sandboxes; logs of commands and records stay for their retention. */
async function largeFiles(home: string): Promise<string[]> {
  const found = await readdir(home, { recursive: true, withFileTypes: true });
  return found.filter(({ name }) => name === 'note').map(({ parentPath, name }) => join(parentPath, name));
}
