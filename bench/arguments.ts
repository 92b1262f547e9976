/** The command-line arguments of the bench. */
import { parseArgs } from 'node:util';

export interface BenchArguments {
  /** Names of rows; null for all. */
  only: string[] | null;
  json: boolean;
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
    const { only = null, ...flags } = parseArgs({
      args,
      options: {
        only: { type: 'string', multiple: true },
        json: { type: 'boolean', default: false },
        large: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
    return { only, ...flags };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** The usage text; `rows` are the valid names. */
export function usage(rows: readonly string[]): string {
  return `Usage: npm run bench [-- OPTION…]

  --only NAME   only this row; repeatable
  --json        the results as JSON
  --large       also the row that writes 10 GB per run
  -h, --help    this text

Rows: ${rows.join(', ')}
`;
}
