import { FILE_CALLS } from './vercel-fault-files.ts';
import { describeFaults } from './vercel-fault-suite.ts';

describeFaults('files', FILE_CALLS);
