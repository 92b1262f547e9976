/** One session under torture: a server, the sandboxes that it made, and random calls. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Environment } from './environment.ts';
import type { SandboxLedger } from './ledger.ts';
import type { Report } from './report.ts';
import { TortureServer } from './torture-server.ts';

/** Calls in progress at a time. */
const LANES = 2;

export class Player {
  readonly name: string;
  readonly environment: Environment;
  readonly report: Report;
  readonly random: () => number;
  readonly sandboxes: SandboxLedger[] = [];
  /** All sessions of the round, this one included. */
  readonly players: readonly Player[];
  /** Replaced when the server is killed. */
  server: TortureServer;
  #starting: Promise<void> = Promise.resolve();
  #nextToken = 0;

  static async start(
    name: string,
    environment: Environment,
    report: Report,
    random: () => number,
    players: readonly Player[],
  ): Promise<Player> {
    const server = await TortureServer.start(environment, report);
    return new Player(name, environment, report, random, players, server);
  }

  private constructor(
    name: string,
    environment: Environment,
    report: Report,
    random: () => number,
    players: readonly Player[],
    server: TortureServer,
  ) {
    this.name = name;
    this.environment = environment;
    this.report = report;
    this.random = random;
    this.players = players;
    this.server = server;
  }

  /** Makes calls until the signal fires and the last of them is answered. */
  async play(call: (player: Player) => Promise<void>, signal: AbortSignal): Promise<void> {
    const lane = async (): Promise<void> => {
      while (!signal.aborted) {
        await this.#starting;
        await call(this);
        await this.#replaceDead();
        // Even if every call is refused at once.
        await delay(1);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }

  /** Kills the server with `end`, and starts the next one, which continues with the kept sandboxes. */
  async restart(end: (server: TortureServer) => Promise<unknown>): Promise<void> {
    const restarted = async (): Promise<void> => {
      const { server } = this;
      for (const sandbox of this.sandboxes) if (!sandbox.keep) sandbox.mayHaveEnded = true;
      await end(server);
      await server.exited();
      this.server = await TortureServer.start(this.environment, this.report);
    };
    this.#starting = restarted();
    await this.#starting;
  }

  /** A server that was killed because it hung has a next one, too. */
  async #replaceDead(): Promise<void> {
    const starting = this.#starting;
    await starting;
    // Another lane or a fault may have begun meanwhile.
    if (this.server.hasExited && this.#starting === starting) await this.restart(async () => {});
  }

  /** Sandboxes of this session that must be running. */
  usable(): SandboxLedger[] {
    return this.sandboxes.filter(({ mayHaveEnded }) => !mayHaveEnded);
  }

  /** The same, or now and then those of all sessions. */
  reachable(): SandboxLedger[] {
    return this.random() < 0.75 ? this.usable() : this.players.flatMap((player) => player.usable());
  }

  /** A word that no other call uses, and that is part of no other word. */
  token(): string {
    return `=${this.name}-${this.#nextToken++}=`;
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  /** A random entry of a list of pairs, by its weight. */
  pick<Value>(weighted: readonly (readonly [weight: number, value: Value])[]): Value {
    let left = this.random() * weighted.reduce((total, [weight]) => total + weight, 0);
    for (const [weight, value] of weighted) {
      left -= weight;
      if (left < 0) return value;
    }
    throw new Error('there is nothing to choose from');
  }
}
