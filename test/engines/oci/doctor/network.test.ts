import { expect, it } from 'vitest';
import { networkFinding } from '../../../../src/engines/oci/doctor/runtime.ts';

it('tells whether sandboxes have a way out', () => {
  expect(networkFinding({ egress: true })).toMatchObject({ level: 'ok', advice: null });
  const missing = networkFinding({ egress: false });
  expect(missing).toMatchObject({ level: 'warning', text: expect.stringContaining('no network') });
  expect(missing.advice).toContain('nft_redir');
});
