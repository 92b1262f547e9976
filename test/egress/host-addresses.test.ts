import { networkInterfaces } from 'node:os';
import { expect, it } from 'vitest';
import { hostAddresses } from '../../src/egress/policy/host-addresses.ts';

it('the addresses of this host are read again when they may have changed, but not for every decision', () => {
  let [now, reads] = [0, 0];
  const addresses = hostAddresses(
    () => [`192.0.2.${++reads}`],
    () => now,
  );
  for (let decision = 0; decision < 100; decision++) expect(addresses()).toEqual(['192.0.2.1']);
  now = 1_000;
  for (let decision = 0; decision < 100; decision++) expect(addresses()).toEqual(['192.0.2.2']);
});

it('the addresses of this host are those of its interfaces', () => {
  const expected = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  expect([...hostAddresses()()].sort()).toEqual(expected.map(({ address }) => address).sort());
});
