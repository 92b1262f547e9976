/** A row of the bench: contenders that do the same thing, run in turns so that a drift of the machine meets them all. */
import { type Summary, summarize } from './statistics.ts';

export interface Contender {
  readonly label: string;
  /** One run; answers milliseconds, or throws: a run that failed is no result. */
  run(): Promise<number>;
}

export interface Row {
  readonly name: string;
  /** What is measured, from what to what. */
  readonly title: string;
  /** What each run moves, where throughput is the point. */
  readonly bytes?: number;
  readonly warmUps: number;
  readonly runs: number;
  /** Ours first. Called once; `after` undoes all that it made and may answer a remark for the table. */
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
