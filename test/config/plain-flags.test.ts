import { describe, expect, it } from 'vitest';
import { plainFlags } from '../../src/config/plain-flags.ts';

describe('plainFlags', () => {
  it('reads flags with their values', () => {
    const flags = plainFlags(
      ['--toolsets', 'core', '--allow-dir=/a', '--allow-dir', '/b', '--read-only'],
      {},
    );
    expect([...(flags ?? [])]).toEqual([
      ['toolsets', ['core']],
      ['allow-dir', ['/a', '/b']],
      ['read-only', ['true']],
    ]);
  });

  it.each([
    [['list']],
    [['--help']],
    [['--version']],
    [['--nonsense']],
    [['--toolsets']],
    [['--toolsets', '']],
    [['--toolsets', '--read-only']],
    [['--read-only=true']],
    [['--engine', 'vercel']],
    [['--transport', 'stdio']],
    [['--egress-allow', '10.0.0.0/8']],
    [['--']],
    [['-h']],
  ])('leaves %j to the complete parser', (argv) => {
    expect(plainFlags(argv, {})).toBeNull();
  });

  it('leaves settings of the environment that are checked later to the complete parser', () => {
    expect(plainFlags([], { SANDBOX_MCP_ENGINE: 'vercel' })).toBeNull();
    expect(plainFlags([], { SANDBOX_MCP_TOOLSETS: 'core', SANDBOX_MCP_ENGINE: '' })).not.toBeNull();
  });
});
