/** Formats the results for people. */
import type { RowResult } from './row.ts';

/**
 * One row of the bench as a table of its contenders; a ratio below 1 means that this server takes less time.
 */
export function tableOf({ name, title, bytes, contenders, remarks }: RowResult): string {
  const head = ['', 'p50 ms', 'p95 ms', 'ours / this', 'runs', ...(bytes === null ? [] : ['MB/s at p50'])];
  const lines = contenders.map(({ label, summary, ratio }, index) => [
    label,
    number(summary.p50),
    number(summary.p95),
    index === 0 ? '' : ratio.toFixed(2),
    String(summary.runs),
    ...(bytes === null ? [] : [(bytes / 1_000 / summary.p50).toFixed(0)]),
  ]);
  const widths = head.map((_, column) =>
    Math.max(...[head, ...lines].map((line) => (line[column] ?? '').length)),
  );
  const text = [head, ...lines].map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  const indented = [...text, ...remarks].map((line) => `  ${line}`);
  return `${name}: ${title}\n${indented.join('\n')}\n`;
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}
