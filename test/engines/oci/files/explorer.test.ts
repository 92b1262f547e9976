import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { OciExplorer } from '../../../../src/engines/oci/files/explorer.ts';
import { AgentConnection } from '../../../../src/engines/oci/protocol/agent-connection.ts';
import { encodeFrame, FRAME } from '../../../../src/engines/oci/protocol/frames.ts';
import { neverAborted, rejection } from '../../../registry/support/registry.ts';

/** A listed directory as the agent sends it (docs/agent-protocol.md), with so many empty files. */
function directoryOf(files: number): Buffer {
  const header = Buffer.alloc(17);
  header.writeUInt32LE(files, 4);
  const entry = Buffer.concat([Buffer.from('f'), Buffer.alloc(16), Buffer.from('name\0')]);
  return Buffer.concat([header, ...Array.from({ length: files }, () => entry)]);
}

/** An explorer whose agent answers each request with these directories. */
async function explorerOf(...directories: Buffer[]): Promise<OciExplorer> {
  const home = await mkdtemp(join(tmpdir(), 'explorer-'));
  const answer = Buffer.concat([
    ...directories.map((directory) => encodeFrame(FRAME.DATA, directory)),
    encodeFrame(FRAME.END),
  ]);
  const agent = createServer((socket) => {
    socket.on('error', () => {}).once('data', () => socket.end(answer));
  }).listen(join(home, 'agent'));
  await once(agent, 'listening');
  const connection = await AgentConnection.open(join(home, 'agent'), neverAborted);
  onTestFinished(async () => {
    connection.close();
    agent.close();
    await rm(home, { recursive: true });
  });
  return new OciExplorer(connection, async (error) => error);
}

it('an agent may list as many entries of each directory as were asked for, and no more', async () => {
  const request = { directories: ['/a', '/b'], limit: 3, details: false };
  const listed = await (await explorerOf(directoryOf(3), directoryOf(0))).list(request);
  expect(listed.map((each) => each?.entries.length)).toEqual([3, 0]);
  const untrusted = await explorerOf(directoryOf(3), directoryOf(4));
  expect(await rejection(untrusted.list(request))).toMatchObject({
    code: 'server',
    message: expect.stringContaining('malformed record'),
  });
});
