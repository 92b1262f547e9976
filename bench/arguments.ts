/** The command-line arguments of the bench. */
import { parseArgs } from 'node:util';

export interface BenchArguments {
  /** Names of rows; null for all. */
  only: string[] | null;
  /** Another commit, whose build is measured beside this one; null for none. */
  against: string | null;
  json: boolean;
  /** Writes `docs/performance.md`. */
  write: boolean;
  /** Includes the rows that write many gigabytes. */
  large: boolean;
  help: boolean;
}

/** Invalid arguments, with a message for the user. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** @throws UsageError for an unknown option, one without its value, or a word that belongs to no option */
export function readArguments(args: string[]): BenchArguments {
  try {
    const {
      only = null,
      against = null,
      ...flags
    } = parseArgs({
      args,
      options: {
        only: { type: 'string', multiple: true },
        against: { type: 'string' },
        json: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        large: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
    if (against !== null && flags.write) throw new UsageError('--write is for this commit alone.');
    return { only, against, ...flags };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** The usage text; `rows` are the valid names. */
export function usage(rows: readonly string[]): string {
  return `Usage: npm run bench [-- OPTION…]

  --only NAME   only this row; repeatable
  --against REF also build this commit, and compare each row's first line with its
  --json        the results as JSON
  --write       update docs/performance.md with these rows
  --large       also rows that write 10 GB per run, or take minutes
  -h, --help    this text

Rows: ${rows.join(', ')}
`;
}
