import { describeEngineContract } from './contract.ts';
import { openOciEngines } from './oci-engines.ts';

describeEngineContract(`oci as ${process.getuid?.() === 0 ? 'root' : 'an ordinary user'}`, openOciEngines);
