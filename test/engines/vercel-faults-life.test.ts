import { LIFE_CALLS } from './vercel-fault-life.ts';
import { describeFaults } from './vercel-fault-suite.ts';

describeFaults('life', LIFE_CALLS);
