/**
 * A row of the bench: contenders that do the same thing, run in turns so that a drift of the machine affects
 * all of them.
 */
import { type Summary, summarize } from './statistics.ts';

export interface Contender {
  readonly label: string;
  /** One run. Returns milliseconds, or throws: a failed run is no result. */
  run(): Promise<number>;
}

export interface Row {
  readonly name: string;
  /** What is measured, from which event to which. */
  readonly title: string;
  /** The amount that each run moves, for throughput. */
  readonly bytes?: number;
  readonly warmUps: number;
  readonly runs: number;
  /**
   * This server first. Called once; `after` undoes everything it created and may return a remark for the
   * table.
   */
  open(): Promise<{ contenders: Contender[]; after(): Promise<string[]> }>;
}

export interface RowResult {
  readonly name: string;
  readonly title: string;
  readonly bytes: number | null;
  readonly contenders: { label: string; summary: Summary; ratio: number }[];
  readonly remarks: string[];
}

/** Runs a row. `ratio` is the first contender's median over this one's. */
export async function runRow(row: Row): Promise<RowResult> {
  const { contenders, after } = await row.open();
  const values = contenders.map((): number[] => []);
  let remarks: string[] = [];
  try {
    for (let round = -row.warmUps; round < row.runs; round++) {
      for (const [index, contender] of contenders.entries()) {
        const value = await contender.run();
        if (round >= 0) values[index]?.push(value);
      }
    }
  } finally {
    remarks = await after();
  }
  const summaries = values.map(summarize);
  const first = summaries[0]?.p50 ?? Number.NaN;
  return {
    name: row.name,
    title: row.title,
    bytes: row.bytes ?? null,
    contenders: contenders.map(({ label }, index) => {
      const summary = summaries[index] ?? summarize([]);
      return { label, summary, ratio: first / summary.p50 };
    }),
    remarks,
  };
}
