import { accessSync } from 'node:fs';
import { it } from 'vitest';
import { describeEngineContract } from '../../conformance/contract.ts';
import { needs } from '../../support/needs.ts';
import { openOciEngines } from './support/oci-engines.ts';

const USER = process.getuid?.() === 0 ? 'root' : 'an ordinary user';
/**
 * Set by the test that runs a sample of this suite in a process of another user, so that it is sure to test
 * what it says.
 */
const EXPECTED = process.env['EXPECTED_ISOLATION'];

function isInstalled(program: string): boolean {
  try {
    accessSync(`/usr/bin/${program}`);
    return true;
  } catch {
    return false;
  }
}

describeEngineContract(
  `oci as ${USER}`,
  () => openOciEngines('auto', EXPECTED),
  EXPECTED === undefined ? 'whole' : 'sample',
);

if (EXPECTED === undefined && USER === 'root') {
  // `auto` takes the faster one; the other has to hold as well.
  if (isInstalled('crun') && isInstalled('runc')) {
    describeEngineContract(`oci as ${USER}, by runc`, () => openOciEngines('runc', 'runc'), 'sample');
  } else {
    it(
      'by the other runtime',
      needs('both crun and runc; the one that is here is tested', false),
      () => undefined,
    );
  }
}
