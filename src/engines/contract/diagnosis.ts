/** The part of the engine contract behind `doctor`. */
import type { EngineName } from '../../shared/engine-names.ts';

/** One finding of `doctor`, and how to fix it. */
export interface Finding {
  level: 'ok' | 'warning' | 'error';
  /** One sentence. */
  text: string;
  /** Program and arguments of each step of the fix, in order; empty if only a person can fix it. */
  remedy: string[][];
  /** True if the fix needs root. */
  remedyNeedsRoot: boolean;
  /** What a person has to do if `remedy` is empty or does not apply to this machine. */
  advice: string | null;
}

/** Finds out whether an engine works on this machine, by trying it. */
export interface Diagnosis {
  engine: EngineName;
  works: boolean;
  findings: Finding[];
}
