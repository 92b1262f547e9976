/** The part of the engine contract that `doctor` shows. */
import type { EngineName } from '../../shared/engine-names.ts';

/** One thing that `doctor` found, and what mends it. */
export interface Finding {
  level: 'ok' | 'warning' | 'error';
  /** One sentence. */
  text: string;
  /** Program and arguments of each step that mends it here, in order; empty where only a person can. */
  remedy: string[][];
  /** True where the remedy needs root. */
  remedyNeedsRoot: boolean;
  /** What a person has to do where `remedy` is empty or not for this machine. */
  advice: string | null;
}

/** Whether an engine works on this machine, by trying it. */
export interface Diagnosis {
  engine: EngineName;
  works: boolean;
  findings: Finding[];
}
