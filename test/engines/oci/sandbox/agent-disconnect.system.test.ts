/** Calls that lose the connection to the agent while the sandbox keeps running. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentDisconnectedError, AgentError } from '../../../../src/engines/oci/protocol/agent-connection.ts';
import {
  encodeFields,
  encodeFrame,
  encodeHeader,
  FRAME,
  TAG,
} from '../../../../src/engines/oci/protocol/frames.ts';
import { refusalOf } from '../../../../src/engines/oci/sandbox/agent-disconnect.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { neverAborted, rejection } from '../../../registry/support/registry.ts';
import { type RunningServer, startServer } from '../../../support/server.ts';
import { openOciEngines } from '../support/oci-engines.ts';

/** An agent that silently closes this many connections, then reports that it cannot fork. */
async function agentThatSays(silent: number, path: string) {
  const body = encodeFields([
    [TAG.errno, constants.errno.EAGAIN],
    [TAG.what, 'fork'],
    [TAG.errorPath, ''],
  ]);
  let connections = 0;
  const agent = createServer((socket) => {
    connections += 1;
    // A client that has disconnected is not a failure of the agent.
    socket.on('error', () => {}).resume();
    if (connections <= silent) socket.destroy();
    else socket.end(Buffer.concat([encodeHeader(FRAME.ERROR, body.length), body]));
  });
  agent.listen(path);
  await once(agent, 'listening');
  return agent;
}

describe('the reason of a closed connection', () => {
  it('is polled until it is known, but not forever', async () => {
    const home = await mkdtemp(join(tmpdir(), 'gone-'));
    const path = join(home, 'agent');
    try {
      const talks = await agentThatSays(3, path);
      expect(await refusalOf(path, neverAborted)).toMatchObject({ errno: 'EAGAIN', what: 'fork' });
      expect(await refusalOf(path, neverAborted)).toBeInstanceOf(AgentError);
      talks.close();
      await once(talks, 'close');
      const silent = await agentThatSays(Number.POSITIVE_INFINITY, path);
      expect(await refusalOf(path, neverAborted)).toBeInstanceOf(AgentDisconnectedError);
      silent.close();
    } finally {
      await rm(home, { recursive: true });
    }
  });
});

describe('an unresponsive agent', () => {
  it('blocks a caller no longer than the call, and 5 s at most', async () => {
    const home = await mkdtemp(join(tmpdir(), 'gone-'));
    const path = join(home, 'agent');
    const agent = createServer((socket) => socket.on('error', () => {}).resume()).listen(path);
    try {
      await once(agent, 'listening');
      const cancelling = new AbortController();
      const connected = once(agent, 'connection');
      const refusal = rejection(refusalOf(path, cancelling.signal));
      await connected;
      cancelling.abort();
      expect(await refusal).toMatchObject({ code: 'cancelled' });
      expect(await refusalOf(path, neverAborted)).toBeNull();
    } finally {
      agent.close();
      await rm(home, { recursive: true });
    }
  });
});

/**
 * Replaces a sandbox's agent until `close`; `answer` handles the first frame of a connection.
 */
async function inPlaceOfAgent(path: string, answer: (type: number, socket: Socket) => void) {
  await rename(path, `${path}.real`);
  const agent = createServer((socket) => {
    socket.on('error', () => {}).once('data', (bytes: Buffer) => answer(bytes.readUInt8(4), socket));
  }).listen(path);
  await once(agent, 'listening');
  return async () => {
    const closed = once(agent, 'close');
    agent.close();
    await closed;
    await rename(`${path}.real`, path);
  };
}

describe('an interrupted call', () => {
  let opened: Awaited<ReturnType<typeof openOciEngines>>;
  let sandboxId: string;
  let path: string;
  beforeAll(async () => {
    opened = await openOciEngines();
    ({ sandboxId } = await opened.engine.create(createRequest(), timeoutSignal()));
    path = join(opened.stateDir, 'sandboxes', sandboxId, 'agent/socket');
  });
  afterAll(async () => {
    await opened.engine.forget(sandboxId, timeoutSignal());
    await opened.close();
  });

  it('can be cancelled while the agent is checked for life', async () => {
    const cancelling = new AbortController();
    const putBack = await inPlaceOfAgent(path, (type, socket) => {
      if (type === FRAME.PING) cancelling.abort();
      else socket.destroy();
    });
    try {
      const call = opened.engine.files.stat(sandboxId, '/tmp', null, cancelling.signal);
      expect(await rejection(call)).toMatchObject({ code: 'cancelled' });
    } finally {
      await putBack();
    }
  });

  it('reports that an extended sandbox still runs, and releases its record', async () => {
    const ok = encodeFrame(FRAME.OK, encodeFields([[TAG.remainingMs, 100_000]]));
    let cuts = 1;
    let release = (): void => {};
    let refusal = (): void => {};
    const asking = new Promise<void>((resolve) => {
      refusal = resolve;
    });
    const putBack = await inPlaceOfAgent(path, (type, socket) => {
      if (type === FRAME.STAT_REQUEST) {
        release = () => socket.end(encodeFrame(FRAME.STAT));
        refusal();
      } else if (type === FRAME.DEADLINE && cuts-- > 0) socket.destroy();
      else socket.end(ok);
    });
    try {
      const { engine } = opened;
      const interrupted = rejection(engine.extendTimeout(sandboxId, 1_000, timeoutSignal()));
      await asking;
      expect(await engine.extendTimeout(sandboxId, 1_000, timeoutSignal())).toMatchObject({
        status: 'running',
      });
      release();
      expect(await interrupted).toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('is still running'),
      });
    } finally {
      await putBack();
    }
  });
});

describe('a sandbox that still runs', () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.close());

  it('reports on every call that its process limit is reached', async (context) => {
    if (!existsSync('/usr/bin/python3'))
      return context.skip('this host has no python3 to create processes with');
    const { text: limits } = await server.call('session_info');
    if (limits.includes('RLIMIT_NPROC')) return context.skip('the agent itself is under no limit here');
    await server.call('sandbox_create', { resources: { vcpus: 1 } });
    // Takes every available process and keeps it.
    const take = [
      'import os, time',
      'def take():',
      '    try:',
      '        while os.fork(): pass',
      '        time.sleep(1000)',
      '    except OSError: pass',
      'take()',
      'print("full", flush=True)',
      'time.sleep(1000)',
    ].join('\n');
    const { structured } = await server.call('sandbox_run_command_detached', {
      cmd: 'python3',
      args: ['-c', take],
    });
    const command_id = String(structured['command_id']);
    let shown = '';
    while (!shown.includes('full')) {
      shown = (await server.call('command_logs', { command_id, wait_ms: 20_000 })).text;
    }
    for (let call = 0; call < 30; call += 1) {
      const answers = await Promise.all([
        server.call('sandbox_run_command', { cmd: 'true' }),
        server.call('sandbox_read_file', { path: '/etc/hostname' }),
        server.call('sandbox_shell'),
        server.call('sandbox_extend_timeout', { duration_ms: 1_000 }),
      ]);
      for (const { text } of answers) expect(text).toContain('limit_exceeded');
    }
    await server.call('command_kill', { command_id, signal: 'SIGKILL' });
    expect((await server.call('sandbox_run_command', { cmd: 'true' })).structured['exit_code']).toBe(0);
  });

  it('is not reported as ended when a program inside kills the process that serves a call', async () => {
    await server.call('sandbox_create');
    const kill = { cmd: 'sh', args: ['-c', 'kill -9 -1'], sudo: true };
    for (let call = 0; call < 10; call += 1) {
      expect((await server.call('sandbox_run_command', kill)).text).not.toContain('The sandbox ended');
    }
    expect((await server.call('sandbox_run_command', { cmd: 'true' })).structured['exit_code']).toBe(0);
  });
});
