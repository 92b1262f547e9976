import { SNAPSHOT_CALLS } from './fault-snapshots.ts';
import { describeFaults } from './fault-suite.ts';

describeFaults('snapshots', SNAPSHOT_CALLS);
