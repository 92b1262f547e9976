import { describe, expect, it } from 'vitest';
import { parseSimpleRequest } from '../../../src/egress/http/simple-request.ts';

function parse(lines: readonly string[]) {
  return parseSimpleRequest(Buffer.from(`${['GET / HTTP/1.1', ...lines].join('\r\n')}\r\n\r\n`, 'latin1'));
}

describe('a simple request', () => {
  it('has its header values without surrounding blanks', () => {
    const { rawHeaders } = parse(['Host:  a.test\t', 'X-Empty:', 'X-Inner: a  b']) ?? {};
    expect(rawHeaders).toEqual(['Host', 'a.test', 'X-Empty', '', 'X-Inner', 'a  b']);
  });

  it.each([['X A: b'], ['X-A : b'], [': b'], ['X-A'], [' folded'], ['X-A: a\x00b']])(
    'may not have the header %j',
    (line) => {
      expect(parse(['Host: a.test', line])).toBeNull();
    },
  );

  it('is parsed in linear time, however many blanks a value has', () => {
    // A backtracking expression took 21 s for 4,000 blanks before a control character.
    const value = `${' '.repeat(15_000)}\x01`;
    const before = process.cpuUsage();
    for (let round = 0; round < 10; round++) expect(parse(['Host: a.test', `X-A:${value}`])).toBeNull();
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(2_000);
  });
});
