import { it } from 'vitest';
import { findProgram } from '../../../src/engines/oci/host/host-program.ts';
import { describeEngineContract } from '../../conformance/contract.ts';
import { needs } from '../../support/needs.ts';
import { openOciEngines } from './support/oci-engines.ts';

const USER = process.getuid?.() === 0 ? 'root' : 'an ordinary user';
/**
 * Set by the test that runs a sample of this suite as another user, to ensure that the intended isolation is
 * tested.
 */
const EXPECTED = process.env['EXPECTED_ISOLATION'];

describeEngineContract(
  `oci as ${USER}`,
  () => openOciEngines('auto', EXPECTED),
  EXPECTED === undefined ? 'whole' : 'ids',
);

if (EXPECTED === undefined && USER === 'root') {
  // `auto` chooses the faster runtime; the other one must pass as well.
  if (findProgram('crun') !== null && findProgram('runc') !== null) {
    describeEngineContract(`oci as ${USER}, by runc`, () => openOciEngines('runc', 'runc'), 'runtime');
  } else {
    it(
      'with the other runtime',
      needs('both crun and runc; only the installed one is tested', false),
      () => undefined,
    );
  }
}
