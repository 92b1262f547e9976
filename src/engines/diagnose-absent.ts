import type { Diagnosis, EngineName } from './engine.ts';

/** What `doctor` says of an engine that this version does not have. */
export function diagnoseAbsent(engine: EngineName): Diagnosis {
  const text = 'not in this version';
  return {
    engine,
    works: false,
    findings: [{ level: 'warning', text, remedy: [], remedyNeedsRoot: false, advice: null }],
  };
}
