/** Every fault at every API call of the engine. */
import { afterAll, describe, expect, it } from 'vitest';
import { SandboxError } from '../../../../src/shared/errors.ts';
import { FAULT_KINDS, type Fault, type FaultKind } from '../../../fakes/vercel/wire/faults.ts';
import type { Operation } from '../../../fakes/vercel/wire/operations.ts';
import { type Attempt, type Failure, type FaultCall, newMarker } from './fault-call.ts';
import type { FaultWorld } from './fault-world.ts';
import { FaultWorlds } from './fault-worlds.ts';
import { ALIKE, CODE_OF, hangs, PASSING_FAULTS } from './faults.ts';

type Combination = [name: string, call: FaultCall, fault: Fault];

/**
 * Every permanent fault at each request of each call, one of those that are alike; and alternating halves of the
 * temporary ones at each repeatable call. Calls that send the same request in the background share its permanent
 * faults, half of the kinds each: following a command is the same code, whatever started it.
 */
export function combinations(calls: readonly FaultCall[]): Combination[] {
  return calls.flatMap((call, place) =>
    operationsOf(call).flatMap((operation, turn): Combination[] => [
      ...FAULT_KINDS.filter(
        (kind) =>
          !meansNotFound(operation, kind) &&
          isTurnOf(kind, place + turn) &&
          isShareOf(call, operation, kind, calls),
      ).map((kind): Combination => [`${call.name}: ${operation} always ${kind}`, call, { kind, operation }]),
      ...(call.repeatable ? PASSING_FAULTS : [])
        .filter((_, index) => (index + place + turn) % 2 === 0)
        .map(
          (kind): Combination => [
            `${call.name}: ${operation} once ${kind}`,
            call,
            { kind, operation, times: 1 },
          ],
        ),
    ]),
  );
}

/** Whether it is the turn of this kind among those like it. */
function isTurnOf(kind: FaultKind, turn: number): boolean {
  const alike = alikeOf(kind);
  return alike[turn % alike.length] === kind;
}

/** Whether this kind is tried with this call, among those that send the same request in the background. */
function isShareOf(
  call: FaultCall,
  operation: Operation,
  kind: FaultKind,
  calls: readonly FaultCall[],
): boolean {
  const sharing = calls.filter(({ behind = [] }) => behind.includes(operation));
  const place = sharing.indexOf(call);
  const [first = kind] = alikeOf(kind);
  return sharing.length < 2 || place === -1 || (place + FAULT_KINDS.indexOf(first)) % 2 === 0;
}

function alikeOf(kind: FaultKind): readonly FaultKind[] {
  return ALIKE.find((kinds) => kinds.includes(kind)) ?? [kind];
}

/**
 * A lookup that returns not found or gone is not a fault, but the platform's statement that there is no
 * sandbox.
 */
function meansNotFound(operation: Operation, kind: FaultKind): boolean {
  return operation === 'sandbox.get' && (kind === 404 || kind === 410);
}

function operationsOf({ operations, behind = [] }: FaultCall): Operation[] {
  return [...operations, ...behind];
}

/**
 * Several at a time, each in a separate world: nearly all of their time is spent waiting for a sandbox or a
 * timeout.
 */
export function describeFaults(name: string, calls: readonly FaultCall[]): void {
  describe(`faults of the API: ${name}`, () => {
    const containers = new FaultWorlds('containers');
    const memory = new FaultWorlds('memory');
    const worldsOf = ({ inMemory }: FaultCall) => (inMemory ? memory : containers);

    afterAll(async () => {
      for (const { alive, violations, resumed } of [
        ...(await containers.close()),
        ...(await memory.close()),
      ]) {
        expect(violations).toEqual([]);
        expect(resumed).toEqual([]);
        expect(alive).toEqual([]);
      }
    });

    it.concurrent.each(calls.map((call) => [call.name, call] as const))(
      '%s sends the requests in the table',
      (_, call) => worldsOf(call).use((world) => tryWithout(world, call)),
    );

    it.concurrent.each(combinations(calls))('%s', (_, call, fault) =>
      worldsOf(call).use((world) => tryUnder(world, call, fault)),
    );
  });
}

async function tryWithout(world: FaultWorld, call: FaultCall): Promise<void> {
  const attempt = await prepare(world, call);
  const before = world.api.calls.length;
  call.right(await call.run(world.patient, attempt), attempt);
  const called = new Set(world.api.calls.slice(before).map(({ operation }) => operation));
  expect([...called]).toEqual(expect.arrayContaining([...call.operations]));
  expect(operationsOf(call)).toEqual(expect.arrayContaining([...called]));
  await call.after?.(attempt, null);
  await finish(attempt, call);
}

async function tryUnder(world: FaultWorld, call: FaultCall, fault: Fault): Promise<void> {
  const attempt = await prepare(world, call);
  world.disturb(fault);
  const engine = await world.cold({ hasty: hangs(fault.kind) });
  let failure: Failure | null = null;
  try {
    call.right(await call.run(engine, attempt), attempt);
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    failure = failureOf(error);
    expect(failure).toMatchObject({ code: CODE_OF[fault.kind] });
    expect(fault.times, `a temporary fault was reported: ${failure.text}`).toBeUndefined();
  } finally {
    world.calm();
    await engine.close();
    // A caller that stopped waiting may be ahead of its request's effect.
    await world.api.settled();
  }
  await call.after?.(attempt, failure);
  await finish(attempt, call);
}

async function prepare(world: FaultWorld, call: FaultCall): Promise<Attempt> {
  const sandboxId = { shared: () => world.shared(), own: () => world.fresh(), none: async () => '' }[
    call.sandbox
  ];
  const attempt: Attempt = { world, sandboxId: await sandboxId(), made: '', marker: newMarker() };
  attempt.made = (await call.prepare?.(attempt)) ?? '';
  return attempt;
}

/** One sandbox serves many calls, so that damage by a fault shows at once; a separate one is removed. */
async function finish({ world, sandboxId }: Attempt, call: FaultCall): Promise<void> {
  if (call.sandbox === 'own') await world.end(sandboxId);
  if (call.sandbox === 'shared') await world.expectRunning(sandboxId);
}

function failureOf(error: SandboxError): Failure {
  expect(error.message).not.toBe('');
  expect(error.hint).not.toBe('');
  const text = `${error.message} ${error.hint} ${JSON.stringify(error.details)}`;
  return { code: error.code, text };
}
