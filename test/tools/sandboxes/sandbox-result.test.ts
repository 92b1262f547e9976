import { describe, expect, it } from 'vitest';
import { sandboxAnswer } from '../../../tools/sandboxes/sandbox-result.ts';
import { neverAborted, openWorld } from '../../registry/support/registry.ts';
import { plainRequest } from '../../registry/support/requests.ts';
import { config } from '../../server/support/connected-server.ts';

async function nextStep(wish: { leftMs: number; maxLifetimeMs: number }): Promise<string | null> {
  const { registry } = openWorld();
  const view = await registry.openSession('local').create(plainRequest, neverAborted);
  const now = (): number => Number(view.expiresAt) - wish.leftMs;
  return sandboxAnswer(view, { now, config: { ...config, maxLifetimeMs: wish.maxLifetimeMs } }).next;
}

describe('the next step of a running sandbox', () => {
  it('is absent before its last minute', async () => {
    expect(await nextStep({ leftMs: 60_000, maxLifetimeMs: 300_000 })).toBeNull();
  });

  it('is to extend it if possible', async () => {
    expect(await nextStep({ leftMs: 59_999, maxLifetimeMs: 300_001 })).toMatch(
      /^The sandbox ends in 60 s: sandbox_extend_timeout sandbox_id=sbx_\w+ extends it\.$/,
    );
  });

  it('is to save the work once it has reached its maximum lifetime', async () => {
    const next = await nextStep({ leftMs: 10_000, maxLifetimeMs: 300_000 });
    expect(next).toContain('The sandbox ends in 10 s');
    expect(next).toContain('sandbox_download_file');
    expect(next).not.toContain('extend');
  });
});
