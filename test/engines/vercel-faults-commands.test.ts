import { COMMAND_CALLS } from './vercel-fault-commands.ts';
import { describeFaults } from './vercel-fault-suite.ts';

describeFaults('commands', COMMAND_CALLS);
