/** What an earlier version of the server has made, and that this version can do everything with it. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { openWebServer, type WebServer } from '../../bench/web-server.ts';
import { waitForNoLeftovers } from '../crash/support/leftovers.ts';
import { makePlace, type Place } from '../crash/support/place.ts';
import { clean, type ServerProcess, startServer } from '../crash/support/server-process.ts';

const LINES = 20_000;
const NUMBERS = Array.from({ length: LINES }, (_, index) => `${index + 1}\n`).join('');
const LONG = `echo first; until [ -e go ]; do sleep 0.05; done; seq ${LINES}; echo last >&2; exit 7`;
const PORT = 8_300;
const POLL_MS = 100;

const created = z.object({ sandbox_id: z.string() });
const started = z.object({ command_id: z.string() });
const taken = z.object({ snapshot_id: z.string() });
const opened = z.object({ shell_id: z.string() });
const listed = z.object({ sandboxes: z.array(z.object({ sandbox_id: z.string(), status: z.string() })) });
const page = z.object({ content: z.string(), next_offset: z.number().nullable() });

/** What the earlier version leaves behind when it is killed. */
interface EarlierState {
  /** Kept, with files, a server on a port, and commands that have ended or still run. */
  readonly kept: string;
  /** Ends with its server. */
  readonly owned: string;
  readonly stopped: string;
  readonly snapshot: string;
  readonly ended: string;
  readonly running: string;
}

/**
 * @param dist the earlier version's build
 * @param report receives a line about each thing that was tried and worked
 * @throws AssertionError, or the text of a call's error
 */
export async function upgradeFrom(dist: string, report: (step: string) => void): Promise<void> {
  const made = await makePlace();
  // The earlier version has to make the state directory itself.
  const place: Place = { ...made, stateDir: join(made.home, 'earlier') };
  const web = await openWebServer();
  const servers: ServerProcess[] = [];
  const start = async (program?: string): Promise<ServerProcess> => {
    const server = await startServer(place, {
      flags: web.flags,
      ...(program !== undefined && { program }),
    });
    servers.push(server);
    return server;
  };
  try {
    const earlier = await start(join(dist, 'main.js'));
    const state = await makeEarlierState(earlier, web);
    await earlier.kill();
    report('the earlier server made sandboxes, and was killed');

    const server = await start();
    for (const [step, work] of STEPS) {
      await work({ server, state, place, web });
      report(step);
    }
    await server.close();
    await clean(place);
    await waitForNoLeftovers(place);
    report('nothing is left');
  } finally {
    for (const server of servers) await server.kill();
    await clean(place);
    await web.close();
    await place.remove();
  }
}

async function makeEarlierState(earlier: ServerProcess, web: WebServer): Promise<EarlierState> {
  const create = async (more: object): Promise<string> =>
    created.parse(await earlier.call('sandbox_create', { timeout_ms: 1_800_000, ...more })).sandbox_id;
  const write = async (sandbox_id: string, content: string): Promise<unknown> =>
    earlier.call('sandbox_write_files', { sandbox_id, files: [{ path: 'note', content }] });
  const detached = async (sandbox_id: string, cmd: string, args: string[]): Promise<string> =>
    started.parse(await earlier.call('sandbox_run_command_detached', { sandbox_id, cmd, args })).command_id;

  const network_policy = { mode: 'custom', subnets: { allow: [`${web.address}/32`] } };
  const kept = await create({ keep: true, env: { FROM: 'before' }, ports: [PORT], network_policy });
  await write(kept, 'still here');
  await detached(kept, 'python3', ['-m', 'http.server', String(PORT)]);
  const ended = started.parse(
    await earlier.call('sandbox_run_command', { sandbox_id: kept, cmd: 'seq', args: [String(LINES)] }),
  ).command_id;
  const running = await detached(kept, 'sh', ['-c', LONG]);

  const stopped = await create({ keep: true });
  await earlier.call('sandbox_stop', { sandbox_id: stopped, blocking: true });
  const copied = await create({});
  await write(copied, 'in the snapshot');
  const { snapshot_id: snapshot } = taken.parse(
    await earlier.call('sandbox_snapshot', { sandbox_id: copied }),
  );
  return { kept, owned: await create({}), stopped, snapshot, ended, running };
}

interface Scene {
  readonly server: ServerProcess;
  readonly state: EarlierState;
  readonly place: Place;
  readonly web: WebServer;
}

const STEPS: readonly (readonly [step: string, work: (scene: Scene) => Promise<void>])[] = [
  ['lists its sandboxes', lists],
  ['gets the kept one and works in it: files, commands, environment', works],
  ['reads the logs of its commands, and waits for the one that still runs', followsCommands],
  ['lists, searches and edits files', explores],
  ['copies files to and from it', transfers],
  ['opens a terminal', opensTerminal],
  ['reaches its port', reachesPort],
  ['lets it reach what its policy allows, and changes the policy', controlsNetwork],
  ['extends its lifetime, and shows it in session_info', describes],
  ['creates a sandbox from its snapshot, and deletes that', restores],
  ['has ended what belonged to the killed server', endsOwned],
  ['takes a snapshot of the kept one while it runs, and stops it', stops],
];

async function lists({ server, state }: Scene): Promise<void> {
  const { sandboxes } = listed.parse(await server.call('sandbox_list', { limit: 100 }));
  const statusOf = (id: string) => sandboxes.find(({ sandbox_id }) => sandbox_id === id)?.status;
  assert.equal(statusOf(state.kept), 'running');
  assert.equal(statusOf(state.stopped), 'stopped');
}

async function works({ server, state }: Scene): Promise<void> {
  const { kept: sandbox_id } = state;
  const sandbox = await server.call('sandbox_get', { sandbox_id });
  assert.equal(sandbox['status'], 'running');
  assert.equal(sandbox['keep'], true);
  const file = await server.call('sandbox_read_file', { sandbox_id, path: 'note' });
  assert.equal(file['content'], 'still here');
  const args = ['-c', 'echo $FROM; cat note new'];
  await server.call('sandbox_write_files', { sandbox_id, files: [{ path: 'new', content: ' and new\n' }] });
  const command = await server.call('sandbox_run_command', { sandbox_id, cmd: 'bash', args });
  assert.equal(command['stdout'], 'before\nstill here and new\n');
  const asRoot = { sandbox_id, cmd: 'id', args: ['-u'], sudo: true };
  assert.equal((await server.call('sandbox_run_command', asRoot))['stdout'], '0\n');
}

async function followsCommands({ server, state }: Scene): Promise<void> {
  const ended = await server.call('sandbox_get_command', { command_id: state.ended });
  assert.equal(ended['exit_code'], 0);
  assert.equal(await outputOf(server, state.ended), NUMBERS);
  const running = await server.call('sandbox_get_command', { command_id: state.running });
  assert.equal(running['status'], 'running');
  assert.equal(running['stdout'], 'first\n');
  await server.call('sandbox_write_files', {
    sandbox_id: state.kept,
    files: [{ path: 'go', content: '' }],
  });
  const finished = await server.call('command_wait', { command_id: state.running });
  assert.equal(finished['exit_code'], 7);
  assert.equal(finished['stderr'], 'last\n');
  assert.equal(await outputOf(server, state.running), `first\n${NUMBERS}`);
  const sleeping = started.parse(
    await server.call('sandbox_run_command_detached', {
      sandbox_id: state.kept,
      cmd: 'sleep',
      args: ['600'],
    }),
  );
  const killed = await server.call('command_kill', { ...sleeping, signal: 'SIGKILL' });
  assert.notEqual(killed['status'], 'running');
}

/** Everything that a command wrote to its standard output, page by page. */
async function outputOf(server: ServerProcess, command_id: string): Promise<string> {
  let all = '';
  for (let offset: number | null = 0; offset !== null; ) {
    const request = { command_id, stream: 'stdout', offset, limit: 65_536 };
    const { content, next_offset } = page.parse(await server.call('command_output', request));
    all += content;
    offset = next_offset;
  }
  return all;
}

async function explores({ server, state }: Scene): Promise<void> {
  const { kept: sandbox_id } = state;
  const files = await server.call('sandbox_list_files', { sandbox_id });
  assert.match(JSON.stringify(files), /"note"/);
  const found = await server.call('sandbox_search_files', { sandbox_id, pattern: 'still' });
  assert.match(JSON.stringify(found), /still here/);
  const edits = [{ old_text: 'still', new_text: 'yet' }];
  await server.call('sandbox_edit_file', { sandbox_id, path: 'note', edits });
  const file = await server.call('sandbox_read_file', { sandbox_id, path: 'note' });
  assert.equal(file['content'], 'yet here');
}

async function transfers({ server, state, place }: Scene): Promise<void> {
  const { kept: sandbox_id } = state;
  const [up, down] = [join(place.files, 'up'), join(place.files, 'down')];
  await mkdir(join(up, 'deep'), { recursive: true });
  await writeFile(join(up, 'deep/file'), NUMBERS);
  const upload = { sandbox_id, local_path: up, remote_path: 'tree' };
  assert.equal((await server.call('sandbox_upload_file', upload))['status'], 'done');
  const download = { sandbox_id, local_path: down, remote_path: 'tree' };
  assert.equal((await server.call('sandbox_download_file', download))['status'], 'done');
  assert.equal(await readFile(join(down, 'deep/file'), 'utf8'), NUMBERS);
}

async function opensTerminal({ server, state }: Scene): Promise<void> {
  const shell = opened.parse(await server.call('sandbox_shell', { sandbox_id: state.kept }));
  const text = 'echo $((6 * 7))';
  const screen = await server.call('shell_send', { ...shell, text, keys: ['enter'], wait_for: '42' });
  assert.match(JSON.stringify(screen), /42/);
  await server.call('shell_close', { ...shell });
}

async function reachesPort({ server, state }: Scene): Promise<void> {
  const { url } = await server.call('sandbox_domain', { sandbox_id: state.kept, port: PORT });
  const answer = await fetch(String(url));
  assert.equal(answer.status, 200);
  assert.match(await answer.text(), /note/);
}

async function controlsNetwork({ server, state, web }: Scene): Promise<void> {
  const { kept: sandbox_id } = state;
  const script = `import urllib.request; print(len(urllib.request.urlopen("http://${web.address}:${web.webPort}/1000").read()))`;
  const fetchInside = async () =>
    server.call('sandbox_run_command', { sandbox_id, cmd: 'python3', args: ['-c', script] });
  assert.equal((await fetchInside())['stdout'], '1000\n');
  await server.call('sandbox_update_network_policy', { sandbox_id, network_policy: { mode: 'deny-all' } });
  assert.notEqual((await fetchInside())['exit_code'], 0);
}

async function describes({ server, state }: Scene): Promise<void> {
  await server.call('sandbox_extend_timeout', { sandbox_id: state.kept, duration_ms: 60_000 });
  const info = JSON.stringify(await server.call('session_info'));
  assert.match(info, new RegExp(state.kept));
}

async function restores({ server, state }: Scene): Promise<void> {
  const source = { type: 'snapshot', snapshot_id: state.snapshot };
  const { sandbox_id } = created.parse(await server.call('sandbox_create', { source }));
  const file = await server.call('sandbox_read_file', { sandbox_id, path: 'note' });
  assert.equal(file['content'], 'in the snapshot');
  await server.call('sandbox_stop', { sandbox_id, blocking: true });
  await server.call('snapshot_delete', { snapshot_id: state.snapshot });
}

/** By the recovery, for which the create above has waited, if its own PID 1 did not notice. */
async function endsOwned({ server, state }: Scene): Promise<void> {
  const { status } = await server.call('sandbox_get', { sandbox_id: state.owned });
  assert.equal(status, 'stopped');
}

async function stops({ server, state }: Scene): Promise<void> {
  const { kept: sandbox_id } = state;
  const request = { sandbox_id, keep_running: true };
  const { snapshot_id } = taken.parse(await server.call('sandbox_snapshot', request));
  const source = { type: 'snapshot', snapshot_id };
  const copy = created.parse(await server.call('sandbox_create', { source }));
  const file = await server.call('sandbox_read_file', { ...copy, path: 'note' });
  assert.equal(file['content'], 'yet here');
  await server.call('sandbox_stop', { ...copy, blocking: true });
  await server.call('sandbox_stop', { sandbox_id, blocking: true });
  await server.call('snapshot_delete', { snapshot_id });
  let status: unknown = null;
  while (status !== 'stopped') {
    ({ status } = await server.call('sandbox_get', { sandbox_id }));
    await delay(POLL_MS);
  }
}
