/**
 * One round of the crash test: a busy session, its server killed at a moment, and a check of what remains.
 */
import { once } from 'node:events';
import { symlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { z } from 'zod';
import { findProgram } from '../../../src/engines/oci/host/host-program.ts';
import type { OrdinaryUser } from '../../support/ordinary-user.ts';
import { type Step, startBusySession } from './busy-session.ts';
import { leftoversOf, waitForNoLeftovers } from './leftovers.ts';
import { type Moment, stopAt, untilStopped } from './moments.ts';
import { makePlace, type Place } from './place.ts';
import { clean, startServer } from './server-process.ts';

const listed = z.object({ sandboxes: z.array(z.object({ status: z.string() })) });

/** @throws if anything is left, naming it */
export async function killAt(
  moment: Moment,
  way: 'next start' | 'clean',
  user: OrdinaryUser | null = null,
): Promise<void> {
  const place = await makePlace(user);
  let isClean = false;
  try {
    const port = await killBusyServer(moment, place);
    // Otherwise the round would prove nothing; a random moment may come before the server has created
    // anything.
    if (typeof moment.when !== 'number') expect(leftoversOf(place)).not.toEqual([]);
    if (way === 'next start') await startAgain(place);
    else await cleanUp(place);
    if (port !== null)
      await expect(once(connect(port, '127.0.0.1'), 'connect')).rejects.toThrow('ECONNREFUSED');
    isClean = true;
  } finally {
    // Only a failed round leaves anything.
    if (!isClean) await clean(place);
    await place.remove();
  }
}

/** A path of an installed runtime that no server has tried yet. */
async function newRuntime(place: Place): Promise<string> {
  const installed = findProgram('crun') ?? findProgram('runc');
  if (installed === null) throw new Error('neither crun nor runc is installed');
  const path = join(place.home, basename(installed));
  await symlink(installed, path);
  return path;
}

/** Returns the port forwarded to a sandbox, if that step was reached. */
async function killBusyServer(
  { step, when, probes, inStart, awaitsStock }: Moment,
  place: Place,
): Promise<number | null> {
  const flags = [
    ...(probes ? ['--oci-runtime', await newRuntime(place)] : []),
    // With a stock, a create that is to be interrupted could get a sandbox that has started already.
    ...(inStart && !awaitsStock ? [] : ['--warm', '1']),
  ];
  const server = await startServer(place, { stops: typeof when !== 'number', flags });
  const onStep = (reached: Step): void => {
    if (reached === step && typeof when !== 'number') stopAt(place, when.place);
  };
  const session = startBusySession(server, place, onStep, awaitsStock);
  try {
    await session.reached(step);
    if (typeof when === 'number') {
      await delay(when);
    } else {
      await Promise.race([untilStopped(server.pid), session.playing]);
      expect(when.isSo(place.stateDir), `stopped at: ${when.place}`).toBe(true);
    }
    return session.port;
  } finally {
    await server.kill();
    await session.release();
  }
}

async function startAgain(place: Place): Promise<void> {
  const server = await startServer(place);
  try {
    await waitForNoLeftovers(place, [server.pid]);
    const { sandboxes } = listed.parse(await server.call('sandbox_list'));
    for (const { status } of sandboxes) expect(['stopped', 'aborted', 'failed']).toContain(status);
    // New sandboxes work next to leftovers.
    await server.call('sandbox_create');
    await server.call('sandbox_run_command', { cmd: 'true' });
    // Not left to the end of the session, which on a busy machine may leave it to recovery.
    await server.call('sandbox_stop');
    while ((await server.call('sandbox_get'))['status'] !== 'stopped') await delay(50);
  } finally {
    await server.close();
  }
  await waitForNoLeftovers(place);
}

async function cleanUp(place: Place): Promise<void> {
  const { code, out, err } = await clean(place);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^(stopped|forgotten|Nothing to clean)/);
  await waitForNoLeftovers(place);
}
