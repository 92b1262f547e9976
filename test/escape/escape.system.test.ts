/** Every attempt in a normal sandbox, and again without the mechanism that stops it. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { type Attempt, titleOf } from './support/attempt.ts';
import { CALL_ATTEMPTS } from './support/attempts-calls.ts';
import { PLACE_ATTEMPTS } from './support/attempts-places.ts';
import { type EscapeSandbox, openEscapeSandbox, type SandboxKind } from './support/escape-sandbox.ts';
import type { Layer } from './support/isolation-layers.ts';

const CONTROLS = 'root, since controls give a sandbox the ids of the host';
const isRoot = process.getuid?.() === 0;
/** A compiler, a hundred programs and a gigabyte of memory take long on a busy machine. */
const LONG_MS = 900_000;
const ALL = [...CALL_ATTEMPTS, ...PLACE_ATTEMPTS].filter(
  ({ only }) => only === undefined || only === process.arch,
);
const KINDS: readonly SandboxKind[] = ['of runc', 'of an image', 'from a snapshot'];
/** A feature that the host's kernel lacks cannot be used to escape. */
const isHere = ({ argument }: Attempt) =>
  typeof argument !== 'string' || !/^\/(proc|sys)\//.test(argument) || existsSync(argument);
const ATTEMPTS = ALL.filter(isHere);

/** The result of a control: success, or that the kernel or the machine lacks what it needs. */
function allowed({ control, orAbsent }: Attempt): string[] {
  return 'says' in control ? [control.says, ...(orAbsent ?? [])] : [];
}

/** Attempts by the isolation layers that their control lacks: one sandbox serves all of a group. */
function byLayers(): [title: string, layers: readonly Layer[], attempts: Attempt[]][] {
  const groups = new Map<string, { layers: readonly Layer[]; attempts: Attempt[] }>();
  for (const attempt of ATTEMPTS) {
    if (!('without' in attempt.control)) continue;
    const layers = attempt.control.without;
    const key = [...layers].sort().join(', ');
    const group = groups.get(key) ?? { layers, attempts: [] };
    group.attempts.push(attempt);
    groups.set(key, group);
  }
  return [...groups].map(([title, { layers, attempts }]) => [title, layers, attempts]);
}

describe('escape attempts', { timeout: LONG_MS }, () => {
  let sandbox: EscapeSandbox | null = null;
  let refusals = new Map<Attempt, string>();
  const open = (): EscapeSandbox => {
    if (sandbox === null) throw new Error('the sandboxes were not created');
    return sandbox;
  };

  beforeAll(async () => {
    sandbox = await openEscapeSandbox();
    const words = await sandbox.attempt([], ATTEMPTS);
    refusals = new Map(ATTEMPTS.map((attempt, index) => [attempt, words[index] ?? 'NOTHING']));
  }, LONG_MS);
  afterAll(() => sandbox?.close());

  it('are numerous', () => {
    expect(ATTEMPTS.length).toBeGreaterThanOrEqual(60);
    expect(
      new Set(ATTEMPTS.map((attempt) => JSON.stringify([titleOf(attempt), String(attempt.argument)]))).size,
    ).toBe(ATTEMPTS.length);
  });

  describe('are blocked', needs(CONTROLS, isRoot), () => {
    for (const attempt of ATTEMPTS) {
      it(titleOf(attempt), async ({ skip }) => {
        const word = refusals.get(attempt);
        const { beforeLayer, control } = attempt;
        if (word !== undefined && word === beforeLayer && 'without' in control) {
          expect(await open().attempt(control.without, [attempt])).toEqual([word]);
          skip(`needs a machine that does not refuse it itself: ${word} even without the layer`);
        }
        expect(word).toBe(attempt.refused);
      });
    }
  });

  /** What succeeded, by an attempt's own control. */
  const successes = (words: readonly string[]) =>
    ATTEMPTS.flatMap((attempt, index) =>
      allowed(attempt)
        .slice(0, 1)
        .includes(words[index] ?? '')
        ? [`${titleOf(attempt)}: ${words[index]}`]
        : [],
    );

  it.for(KINDS)('do not succeed in a sandbox %s', needs(CONTROLS, isRoot), async (kind, context) => {
    const words = await open().attemptIn(kind, ATTEMPTS);
    if (words === null) return context.skip(`needs what makes a sandbox ${kind}`);
    expect(successes(words)).toEqual([]);
  });

  it('do not succeed as an ordinary user', needs('to run as an ordinary user', !isRoot), () => {
    // The engine says so where no cgroup is delegated to this user; the attempt then succeeds, and is no escape.
    const isUnlimited = open().notEnforced.some((text) => text.startsWith('Memory and CPU are not limited'));
    const isNoEscape = ({ control }: Attempt) =>
      isUnlimited && 'without' in control && control.without.includes('memory limit');
    const words = ATTEMPTS.map((attempt) =>
      isNoEscape(attempt) ? 'unlimited' : (refusals.get(attempt) ?? ''),
    );
    expect(successes(words)).toEqual([]);
  });

  for (const attempt of ALL.filter((one) => !isHere(one))) {
    it(titleOf(attempt), needs('a kernel with the system call', false), () => undefined);
  }

  describe('would succeed', needs(CONTROLS, isRoot), () => {
    for (const [title, layers, attempts] of byLayers()) {
      it(`without ${title}: ${attempts.map(titleOf).join(', ')}`, async () => {
        const words = await open().attempt(layers, attempts);
        const closed = attempts.flatMap((attempt, index) =>
          allowed(attempt).includes(words[index] ?? '') ? [] : [`${titleOf(attempt)}: ${words[index]}`],
        );
        expect(closed).toEqual([]);
      });
    }

    it('outside any sandbox', async () => {
      const attempts = ATTEMPTS.filter(({ control }) => 'onHost' in control);
      const words = await open().attemptOnHost(attempts);
      expect(attempts.map((attempt, index) => `${titleOf(attempt)}: ${words[index]}`)).toEqual(
        attempts.map((attempt) => `${titleOf(attempt)}: ${allowed(attempt)[0]}`),
      );
    });
  });
});
