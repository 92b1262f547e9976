/**
 * `npm run bench [-- --only NAME] [--json] [--large]`: what a user waits for, beside what they would have without this server, in
 * one run on this machine.
 */
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { type Row, runRow } from './row.ts';
import { busyKill } from './rows/busy-kill.ts';
import { call } from './rows/call.ts';
import { connect } from './rows/connect.ts';
import { download } from './rows/download.ts';
import { firstOutput } from './rows/first-output.ts';
import { flood } from './rows/flood.ts';
import { kill } from './rows/kill.ts';
import { liveRow } from './rows/live.ts';
import { manyConnections } from './rows/many-connections.ts';
import { snapshotRow } from './rows/snapshot.ts';
import { start } from './rows/start.ts';
import { transferRow } from './rows/transfer.ts';
import { tableOf } from './table.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
    large: { type: 'boolean', default: false },
  },
});
const ROWS: readonly Row[] = [
  start,
  call,
  firstOutput,
  flood,
  kill,
  busyKill,
  snapshotRow('snapshot-10mb', 10, 10),
  snapshotRow('snapshot-1gb', 1_000, 5),
  // Writes 10 GB for each run: only where it is asked for.
  ...(values.large ? [snapshotRow('snapshot-10gb', 10_000, 2)] : []),
  transferRow('up'),
  transferRow('down'),
  ...[1, 10, 50, 100].map(liveRow),
  download,
  connect,
  manyConnections,
];
const names = ROWS.map(({ name }) => name);
const unknown = values.only?.find((name) => !names.includes(name));
if (unknown !== undefined) {
  console.error(`bench: there is no row ${unknown}; choose ${names.join(', ')}`);
  process.exit(2);
}

const machine = `${cpus().length} CPUs, Linux ${release()}, Node ${process.version}`;
if (!values.json) console.log(`${machine}\n`);
const results = [];
for (const row of ROWS) {
  if (values.only !== undefined && !values.only.includes(row.name)) continue;
  const result = await runRow(row);
  results.push(result);
  if (!values.json) console.log(tableOf(result));
}
if (values.json) console.log(JSON.stringify({ machine, results }, null, 2));
