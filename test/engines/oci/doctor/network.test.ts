import { expect, it } from 'vitest';
import { networkFinding } from '../../../../src/engines/oci/doctor/runtime.ts';

it('the network finding reports whether sandboxes have network access', () => {
  expect(networkFinding({ egress: true })).toMatchObject({ level: 'ok', advice: null });
  const missing = networkFinding({ egress: false });
  expect(missing).toMatchObject({ level: 'warning', text: expect.stringContaining('no network') });
  expect(missing.advice).toContain('nft_redir');
});
