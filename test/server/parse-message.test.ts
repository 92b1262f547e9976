import { describe, expect, it } from 'vitest';
import { initializeError } from '../../src/server/create-server.ts';
import { parseMessage } from '../../src/server/parse-message.ts';

function withToken(token: string): string {
  return `{"jsonrpc":"2.0","id":6,"method":"ping","params":{"_meta":{"progressToken":${token}}}}`;
}

describe('parseMessage', () => {
  it('accepts a request and a notification', () => {
    const request = { jsonrpc: '2.0', id: 1, method: 'ping' };
    expect(parseMessage(JSON.stringify(request))).toEqual({ message: request });
    expect(parseMessage('{"jsonrpc":"2.0","method":"notifications/x"}')).toHaveProperty('message');
  });

  it.each([
    ['no JSON', '{"jsonrpc":', -32700, null],
    ['a batch', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, null],
    ['a bare value', '5', -32600, null],
    ['null', 'null', -32600, null],
    ['a missing version', '{"id":3,"method":"ping"}', -32600, 3],
    ['a foreign key', '{"jsonrpc":"2.0","id":"x","method":"ping","more":1}', -32600, 'x'],
    ['an invalid id', '{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600, null],
    ['an invalid method', '{"jsonrpc":"2.0","id":4,"method":5}', -32600, 4],
    ['a progress token that is an object', withToken('{}'), -32602, 6],
    ['a progress token that is null', withToken('null'), -32602, 6],
    ['a progress token that is a fraction', withToken('1.5'), -32602, 6],
    ['invalid metadata', '{"jsonrpc":"2.0","id":6,"method":"ping","params":{"_meta":5}}', -32602, 6],
    ['parameters in a list', '{"jsonrpc":"2.0","id":6,"method":"ping","params":[]}', -32602, 6],
    ['very deep JSON', '['.repeat(200_000), -32700, null],
  ])('rejects %s', (_name, line, code, id) => {
    expect(parseMessage(line)).toMatchObject({ errorReply: { jsonrpc: '2.0', id, error: { code } } });
  });

  it('does not answer a malformed response', () => {
    expect(parseMessage('{"jsonrpc":"2.0","id":[],"result":{}}')).toHaveProperty('ignored');
  });
});

describe('initializeError', () => {
  it('names what is wrong with an initialize', () => {
    const initialize = { jsonrpc: '2.0' as const, id: 7, method: 'initialize', params: {} };
    expect(initializeError(initialize)).toMatchObject({ id: 7, error: { code: -32602 } });
  });

  it('accepts every other message', () => {
    expect(initializeError({ jsonrpc: '2.0', id: 7, method: 'ping' })).toBeNull();
  });
});
