import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../src/cli.js', import.meta.url));
const FERRY = fileURLToPath(new URL('../texts/ferry.txt', import.meta.url));

function run(args, input = '') {
  return spawnSync(process.execPath, [CLI, ...args], { input, encoding: 'utf8' });
}

describe('the command line', () => {
  it('counts standard input', () => {
    assert.equal(run(['--top', '2'], 'b a b c b a').stdout, '3\tb\n2\ta\n');
  });

  it('counts a file', () => {
    assert.match(run([FERRY]).stdout, /^\d+\tthe\n/);
  });

  it('refuses a limit that is none', () => {
    const { status, stderr } = run(['--top', 'many'], 'x');
    assert.equal(status, 2);
    assert.match(stderr, /--top is many/);
  });

  it('names a file that is not there', () => {
    const { status, stderr } = run(['no-such-file.txt']);
    assert.equal(status, 2);
    assert.match(stderr, /no-such-file\.txt/);
  });
});
