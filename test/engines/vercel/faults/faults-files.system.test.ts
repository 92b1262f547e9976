import { FILE_CALLS } from './fault-files.ts';
import { describeFaults } from './fault-suite.ts';

describeFaults('files', FILE_CALLS);
