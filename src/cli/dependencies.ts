import type { Config } from '../config.ts';
import type { Diagnosis, Images } from '../engines/engine.ts';
import type { Registry } from '../registry/types.ts';
import type { FileTrouble } from './output/people-log.ts';
import type { GivenFlags } from './settings/flags.ts';
import type { Keyboard } from './verbs/keyboard.ts';

/** What people read of a tool. */
export interface ToolLine {
  readonly name: string;
  readonly description: string;
}

/** What the verbs need of the rest of the program, made on demand so that a verb loads what it uses. */
export interface Parts {
  readonly version: string;
  /** Throws `ConfigError`. */
  loadConfig(given: GivenFlags): Config;
  /** Serves one conversation to its end. Answers the exit code. */
  serve(config: Config): Promise<number>;
  /** `tell` gets what goes wrong with files meanwhile; with a log level of their own people get the log instead. */
  openRegistry(config: Config, tell: (trouble: FileTrouble) => void): Promise<Registry>;
  /** Opens the images of the chosen engine for `work` alone. */
  withImages(config: Config, work: (images: Images) => Promise<number>): Promise<number>;
  /** Every engine, the chosen one first. */
  diagnose(config: Config): Promise<Diagnosis[]>;
  /** Null where the program was not started in a terminal. */
  keyboard(): Keyboard | null;
  /** Those that the configuration offers. */
  tools(config: Config): Promise<readonly ToolLine[]>;
}

/** The terminal or pipe of the person who typed the verb. */
export interface Terminal {
  out(data: string | Uint8Array): void;
  err(text: string): void;
  /** True where `out` is a screen, whose control sequences are not for a sandbox to write. */
  readonly isScreen: boolean;
}
