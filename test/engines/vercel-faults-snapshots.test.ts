import { SNAPSHOT_CALLS } from './vercel-fault-snapshots.ts';
import { describeFaults } from './vercel-fault-suite.ts';

describeFaults('snapshots', SNAPSHOT_CALLS);
