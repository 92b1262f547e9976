import type { Config } from '../config/config.ts';
import type { ParsedFlags } from '../config/flags.ts';
import type { Diagnosis, Images, Volumes } from '../engines/engine.ts';
import type { Registry } from '../registry/types.ts';
import type { FileProblem } from './output/cli-log.ts';
import type { ServerCommand } from './setup/clients.ts';
import type { Keyboard } from './verbs/keyboard.ts';
import type { ToolLine } from './verbs/tools.ts';

/**
 * What subcommands need from the rest of the program, created on demand so that each loads only what it uses.
 */
export interface Dependencies {
  readonly version: string;
  /** Throws `ConfigError`. */
  loadConfig(given: ParsedFlags): Config;
  /** Serves one conversation to its end. Returns the exit code. */
  serve(config: Config): Promise<number>;
  /** `tell` receives problems with files meanwhile. If a log level was chosen, they go to the log instead. */
  openRegistry(config: Config, report: (trouble: FileProblem) => void): Promise<Registry>;
  /** Opens the images of the chosen engine for the duration of `work`. */
  withImages(config: Config, work: (images: Images) => Promise<number>): Promise<number>;
  /** Opens the named volumes of the chosen engine for the duration of `work`. */
  withVolumes(config: Config, work: (volumes: Volumes) => Promise<number>): Promise<number>;
  /** Every engine, the chosen one first. */
  diagnose(config: Config): Promise<Diagnosis[]>;
  /** Resolves when standard input ends, or after a few seconds. */
  endOfInput(): Promise<void>;
  /** Null if the program was not started in a terminal. */
  keyboard(): Keyboard | null;
  /** Resolves to the line that the user types; null if the program was not started in a terminal. */
  ask(question: string): Promise<string | null>;
  /** The program that starts this server again, and its first arguments. */
  readonly self: ServerCommand;
  /** The tools that the configuration offers. */
  tools(config: Config): Promise<readonly ToolLine[]>;
}
