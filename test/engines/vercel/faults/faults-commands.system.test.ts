import { COMMAND_CALLS } from './fault-commands.ts';
import { describeFaults } from './fault-suite.ts';

describeFaults('commands', COMMAND_CALLS);
