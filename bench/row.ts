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
   * This server first, of the build in `dist`. `after` undoes everything it created and may return a remark
   * for the table. Throws `Skipped` if something is missing here.
   */
  open(dist: string): Promise<{ contenders: Contender[]; after(): Promise<string[]> }>;
}

/** A row that cannot be measured here, and what it needs. */
export class Skipped extends Error {
  override readonly name = 'Skipped';
}

export interface RowResult {
  readonly name: string;
  readonly title: string;
  readonly bytes: number | null;
  readonly contenders: { label: string; summary: Summary; ratio: number }[];
  readonly remarks: string[];
}

/** Another build of the server, and what it is called in the table. */
export interface OtherBuild {
  readonly name: string;
  readonly dist: string;
}

/**
 * Runs a row, with the build in `dist` and, if another one is given, that one instead of what others do.
 * `ratio` is the first contender's median over this one's.
 */
export async function runRow(row: Row, dist: string, other: OtherBuild | null): Promise<RowResult> {
  const { contenders, after } = other === null ? await row.open(dist) : await openBoth(row, dist, other);
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

/** The first contender of a row, in two builds. */
async function openBoth(row: Row, dist: string, other: OtherBuild): ReturnType<Row['open']> {
  const ours = await row.open(dist);
  try {
    const theirs = await row.open(other.dist);
    const [first, second] = [ours.contenders[0], theirs.contenders[0]];
    if (first === undefined || second === undefined) throw new Error(`${row.name} has no contender`);
    return {
      contenders: [first, { ...second, label: `the same, built from ${other.name}` }],
      after: async () => {
        const [remarks, more] = [await ours.after(), await theirs.after()];
        return [...remarks, ...more.map((remark) => `${other.name}: ${remark}`)];
      },
    };
  } catch (error) {
    await ours.after();
    throw error;
  }
}
