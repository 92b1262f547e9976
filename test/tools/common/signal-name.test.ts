import { describe, expect, it } from 'vitest';
import { signalName } from '../../../tools/common/signal-name.ts';

describe('signalName', () => {
  it.each([
    ['SIGTERM', 'SIGTERM'],
    ['term', 'SIGTERM'],
    ['Kill', 'SIGKILL'],
    ['9', 'SIGKILL'],
    [' 15 ', 'SIGTERM'],
    ['usr1', 'SIGUSR1'],
    ['10', 'SIGUSR1'],
    ['40', '40'],
    ['64', '64'],
  ])('%s is %s', (given, name) => {
    expect(signalName(given)).toBe(name);
  });

  it.each(['', '0', '-9', '65', '99', 'SIGNOPE', 'toString', 'SIG', '9.0', 'SIGKILL; rm -rf /'])(
    'rejects %j',
    (given) => {
      expect(() => signalName(given)).toThrow(/is not a signal/);
    },
  );
});
