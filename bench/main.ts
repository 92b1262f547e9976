/**
 * `npm run bench [-- OPTION…]` (`--help` lists the options): measures what a user waits for, compared with
 * doing the same without this server, in one run on this machine.
 */
import { cpus, release } from 'node:os';
import { type BenchArguments, readArguments, UsageError, usage } from './arguments.ts';
import { createFromImage } from './images/create-from-image.ts';
import { pull } from './images/pull.ts';
import { buildOther } from './other-build.ts';
import { writePage } from './page.ts';
import { type Row, runRow, Skipped } from './row.ts';
import { busyKill } from './rows/busy-kill.ts';
import { call } from './rows/call.ts';
import { connect } from './rows/connect.ts';
import { curveRow, finishedRow } from './rows/curve.ts';
import { download } from './rows/download.ts';
import { firstCommand } from './rows/first-command.ts';
import { createInStock, firstOutput, firstOutputInStock } from './rows/first-output.ts';
import { flood } from './rows/flood.ts';
import { httpRow } from './rows/http.ts';
import { kill } from './rows/kill.ts';
import { listRow } from './rows/list.ts';
import { liveRow } from './rows/live.ts';
import { manyConnections } from './rows/many-connections.ts';
import { ownerEndRow } from './rows/owner-end.ts';
import { peersCall, peersStart } from './rows/peers.ts';
import { searchRow } from './rows/search.ts';
import { sessionInfoRow } from './rows/session-info.ts';
import { snapshotRow } from './rows/snapshot.ts';
import { start } from './rows/start.ts';
import { fileRow } from './rows/transfers/file.ts';
import { treeRow } from './rows/transfers/tree.ts';
import { workspaceRow } from './rows/workspace.ts';
import { DIST } from './server.ts';
import { tableOf } from './table.ts';
import { tracesOf } from './traces.ts';

/** 10 GB for each run, 500 sandboxes and 10,000 records: only on request. */
const LARGE: readonly Row[] = [snapshotRow('snapshot-10gb', 10_000, 2), curveRow(500), finishedRow(10_000)];
const ROWS: readonly Row[] = [
  start,
  firstCommand,
  call,
  firstOutput,
  firstOutputInStock,
  createInStock,
  flood,
  kill,
  busyKill,
  snapshotRow('snapshot-10mb', 10, 10),
  snapshotRow('snapshot-1gb', 1_000, 5),
  ...LARGE,
  ...[1, 10, 100].map(curveRow),
  fileRow('up'),
  fileRow('down'),
  treeRow('up'),
  treeRow('down'),
  ...[1, 10, 50, 100].map(liveRow),
  ownerEndRow(1, 10),
  ownerEndRow(100, 3),
  download,
  connect,
  manyConnections,
  sessionInfoRow('allow-all'),
  sessionInfoRow('custom'),
  searchRow,
  listRow,
  pull,
  createFromImage,
  workspaceRow,
  peersStart,
  peersCall,
  ...[1, 10, 100].map(httpRow),
];
const NAMES = ROWS.map(({ name }) => name);

/** @throws UsageError */
function rowsOf({ only, large }: BenchArguments): Row[] {
  const unknown = only?.find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw new UsageError(`Unknown row ${JSON.stringify(unknown)}.`);
  return ROWS.filter((row) => only?.includes(row.name) ?? (large || !LARGE.includes(row)));
}

async function bench(options: BenchArguments): Promise<void> {
  const rows = rowsOf(options);
  const machine = `${cpus().length} CPUs, Linux ${release()}, Node ${process.version}`;
  const other = options.against === null ? null : await buildOther(options.against);
  // Written row by row: an interrupted run keeps what it has measured.
  const traces = options.write ? await tracesOf(DIST) : null;
  if (!options.json) console.log(`${machine}\n`);
  const results = [];
  try {
    for (const row of rows) {
      try {
        const result = await runRow(row, DIST, other);
        results.push(result);
        if (traces !== null) await writePage(machine, result, traces, NAMES);
        if (!options.json) console.log(tableOf(result));
      } catch (error) {
        // The others are measured all the same.
        if (error instanceof Skipped) {
          console.error(`${row.name}: skipped: ${error.message}\n`);
          continue;
        }
        console.error(`${row.name}: ${error instanceof Error ? error.stack : String(error)}\n`);
        process.exitCode = 1;
      }
    }
  } finally {
    await other?.remove();
  }
  if (options.json) console.log(JSON.stringify({ machine, results }, null, 2));
}

try {
  const options = readArguments(process.argv.slice(2));
  if (options.help) process.stdout.write(usage(NAMES));
  else await bench(options);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`bench: ${error.message}\n\n${usage(NAMES)}`);
  process.exitCode = 2;
}
