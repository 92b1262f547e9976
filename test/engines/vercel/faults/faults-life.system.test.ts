import { LIFE_CALLS } from './fault-life.ts';
import { describeFaults } from './fault-suite.ts';

describeFaults('life', LIFE_CALLS);
