/** `docs/performance.md`, from the last result of each row. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { RowResult } from './row.ts';
import { tableOf } from './table.ts';
import { TARGETS, type Target } from './targets.ts';

const DATA = join(import.meta.dirname, 'results.json');
const PAGE = join(import.meta.dirname, '../docs/performance.md');

/** In a remark of a row. */
const MEMORY = /([\d.]+) MB for each/;

const summary = z.object({ runs: z.number(), p50: z.number(), p95: z.number() });
const dataSchema = z.object({
  machine: z.string(),
  traces: z.string(),
  rows: z.record(
    z.string(),
    z.object({
      name: z.string(),
      title: z.string(),
      bytes: z.number().nullable(),
      contenders: z.array(z.object({ label: z.string(), summary, ratio: z.number() })),
      remarks: z.array(z.string()),
    }),
  ),
});
type Data = z.infer<typeof dataSchema>;

/** Replaces the result of this row, and writes the page. `order` is that of all rows. */
export async function writePage(
  machine: string,
  result: RowResult,
  traces: string,
  order: readonly string[],
): Promise<void> {
  const before = existsSync(DATA) ? dataSchema.parse(JSON.parse(await readFile(DATA, 'utf8'))) : null;
  const rows: Data['rows'] = {
    ...before?.rows,
    [result.name]: { ...result, contenders: [...result.contenders], remarks: [...result.remarks] },
  };
  const data: Data = { machine, traces, rows };
  await writeFile(DATA, `${JSON.stringify(data, null, 2)}\n`);
  await writeFile(PAGE, pageOf(data, order));
}

function pageOf({ machine, traces, rows }: Data, order: readonly string[]): string {
  const present = order.flatMap((name) => rows[name] ?? []);
  return `# Performance

Written by \`npm run bench -- --write\` on ${machine}; the numbers depend on the machine, the ratios less so. In each
row, runs of this server and of what it is compared with take turns, so that a drift of the machine affects both.
\`npm run bench -- --only ROW\` measures one row, and \`--against REF\` compares it with another commit.

## Targets

p50 of this server divided by p50 of what it is compared with, in one run.

| what | row | target | here | |
| --- | --- | ---: | ---: | --- |
${TARGETS.map((target) => targetLine(target, rows[target.row])).join('\n')}

A sandbox in stock makes a create many times as fast, and costs each session a boot, two megabytes and a relay process
that it may never use, so \`--warm\` is 0 unless it is set.

${costCurve(rows)}## Where the time goes

Spans of one conversation, by \`--trace-file\`. Steps that begin while another one runs are indented below it.

${traces}
## Rows

A ratio below 1 means that this server takes less time.

\`\`\`text
${present.map(tableOf).join('\n')}\`\`\`
`;
}

/** The rows of the cost curve, and what each is called in it. */
const CURVE: readonly [row: string, head: string][] = [
  ['curve-1', '1'],
  ['curve-10', '10'],
  ['curve-100', '100'],
  ['curve-500', '500'],
  ['curve-finished-10000', '10,000 finished'],
];

/** What each tool takes with more and more sandboxes, and how that compares with one. */
function costCurve(rows: Data['rows']): string {
  const columns = CURVE.flatMap(([row, head]) => {
    const found = rows[row];
    return found === undefined ? [] : [{ head, contenders: found.contenders }];
  });
  const [first] = columns;
  if (first === undefined) return '';
  const lines = first.contenders.map(({ label, summary: alone }) => {
    const cells = columns.map(({ contenders }) => {
      const p50 = contenders.find((other) => other.label === label)?.summary.p50;
      return p50 === undefined ? '–' : `${p50.toFixed(1)} ms, ${(p50 / alone.p50).toFixed(2)} ×`;
    });
    return `| ${[label, ...cells].join(' | ')} |`;
  });
  return `## With more sandboxes

p50 of each tool while so many sandboxes are alive, or have ended, and its ratio to the first column.

| tool | ${columns.map(({ head }) => head).join(' | ')} |
| --- |${' ---: |'.repeat(columns.length)}
${lines.join('\n')}

`;
}

function targetLine({ row, what, against, most, cause }: Target, result: RowResult | undefined): string {
  const unit = against === null ? ' ms' : against === 'memory' ? ' MB' : ' ×';
  const value = result === undefined ? null : measured(result, against);
  const judged =
    value === null
      ? 'not measured'
      : value <= most
        ? 'met'
        : `missed${cause === undefined ? '' : `: ${cause}`}`;
  const digits = against === null ? 0 : 2;
  const shown = value === null ? '–' : `${value.toFixed(digits)}${unit}`;
  return `| ${what} | \`${row}\` | ≤ ${most}${unit} | ${shown} | ${judged} |`;
}

/** This server is the first contender. Null if what it is compared with was not there. */
function measured({ contenders, remarks }: RowResult, against: Target['against']): number | null {
  const first = contenders[0];
  if (against === null) return first?.summary.p50 ?? null;
  if (against === 'memory') {
    const each = remarks.map((remark) => MEMORY.exec(remark)?.[1]).find((found) => found !== undefined);
    return each === undefined ? null : Number(each);
  }
  return contenders.find(({ label }) => against.test(label))?.ratio ?? null;
}
