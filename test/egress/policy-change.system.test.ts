/**
 * Policy updates while connections are open or being opened: each decision uses the policy in force at that
 * moment.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../src/engines/engine.ts';
import { needs } from '../support/needs.ts';
import { ALL, NONE, PRELUDE } from './support/attempts.ts';
import { openSandboxed, type Sandboxed } from './support/sandboxed.ts';
import { TEST_RANGE } from './support/test-range.ts';
import { openWorld, type World } from './support/world.ts';

const isRoot = process.getuid?.() === 0;
/** The first byte sent by a TLS server. */
const [ALERT, HANDSHAKE] = [21, 22];
const GOOD_ONLY: NetworkPolicy = { mode: 'custom', allow: ['good.test'] };
const ALSO_MORE: NetworkPolicy = { mode: 'custom', allow: ['good.test', 'more.test'] };
const WITH_RULE: NetworkPolicy = {
  mode: 'custom',
  subnets: { allow: [TEST_RANGE] },
  rules: [{ domain: 'good.test', headers: { 'X-Set': 'yes' } }],
};
/** Prints its progress, and waits for a line before it continues. */
const STEP = `
import os
def step(n):
  os.mkfifo('/tmp/go-%d' % n); print('step %d' % n, flush=True)
  open('/tmp/go-%d' % n).read(); os.unlink('/tmp/go-%d' % n)
def said(s, words):
  got = b''
  try:
    s.sendall(words)
    while not got.startswith(b'\\x16') and b'\\n' not in got.partition(b'\\r\\n\\r\\n')[2]:
      d = s.recv(4096)
      if not d: break
      got += d
  except OSError as e: got = str(e).encode()
  return got.decode('latin1')
`;

describe('a policy update', needs('root, for routes to test addresses', isRoot), () => {
  let world: World;
  let box: Sandboxed;

  beforeAll(async () => {
    world = await openWorld();
    box = await openSandboxed(world);
  });

  afterAll(async () => {
    await box?.close();
    await world?.close();
  });

  /** Runs a script, applying each change when the script waits; returns its output. */
  const during = async (script: string, ...changes: (() => Promise<unknown>)[]) => {
    const { structured } = await box.server.call('sandbox_run_command_detached', {
      cmd: 'python3',
      args: ['-c', `${PRELUDE}${STEP}GOOD = ${JSON.stringify(world.good)}\n${script}`],
    });
    const command = { command_id: structured['command_id'] };
    const output = async () =>
      String((await box.server.call('command_output', command)).structured['content']);
    for (const [index, change] of changes.entries()) {
      await expect.poll(output).toContain(`step ${index}\n`);
      await change();
      await box.server.call('sandbox_run_command', { cmd: 'bash', args: ['-c', `echo > /tmp/go-${index}`] });
    }
    await box.server.call('command_wait', command);
    return output();
  };

  it('keeps connections whose destination is not known yet', async () => {
    await box.setPolicy(GOOD_ONLY);
    const printed = await during(
      `
web, secure = tcp('good.test', 80), tcp('good.test', 443)
step(0)
print('web', said(web, get(b'good.test'))); print('secure', ord(said(secure, hello('good.test'))[0]))`,
      () => box.setPolicy(ALSO_MORE),
    );
    expect(printed).toContain('web HTTP/1.1 200');
    expect(printed).toContain(`secure ${HANDSHAKE}\n`);
  });

  it('applies the new policy to what is sent after it', async () => {
    await box.setPolicy(ALSO_MORE);
    const before = world.seen.length;
    const printed = await during(
      `
web, secure = tcp('good.test', 80), tcp('good.test', 443)
step(0)
print('web', said(web, get(b'good.test'))); print('secure', ord(said(secure, hello('good.test'))[0]))`,
      () => box.setPolicy({ mode: 'custom', allow: ['more.test'] }),
    );
    expect(printed).toContain('web HTTP/1.1 403');
    expect(printed).toContain('good.test is not in the allow list');
    expect(printed).toContain(`secure ${ALERT}\n`);
    expect(world.seen.slice(before).filter((line) => /^(http|tls)/.test(line))).toEqual([]);
  });

  it('closes silent connections when nothing is allowed', async () => {
    await box.setPolicy(GOOD_ONLY);
    const printed = await during(
      `
web = tcp('good.test', 80)
step(0)
try: print('web', web.recv(1))
except OSError as e: print('web', e)`,
      () => box.setPolicy(NONE),
    );
    expect(printed).toContain('web [Errno 104]');
  });

  it('keeps connections to an address by the name that resolved to it last', async () => {
    await box.setPolicy(ALL);
    const printed = await during(
      `
for name in ['good.test', 'x.good.test', 'good.test']: socket.gethostbyname(name)
s = tcp(GOOD, 7777); s.recv(6)
step(0)
s.settimeout(0.5)
try: print('got', s.recv(1))
except OSError as e: print('open', e)`,
      () => box.setPolicy(GOOD_ONLY),
    );
    expect(printed).toContain('open timed out');
  });

  it.each([
    ['for a name that was only allowed by its address', 'evil.test', 403],
    ['for a name that is still allowed', 'good.test', 200],
  ])('applies to the next request of a connection: %s', async (_title, host, second) => {
    await box.setPolicy(WITH_RULE);
    const printed = await during(
      `
s = tcp('good.test', 80)
ask = lambda host: b'GET / HTTP/1.1\\r\\nHost: ' + host + b'\\r\\n\\r\\n'
print('first', said(s, ask(b'good.test')))
step(0)
print('second', said(s, ask(b'${host}')))`,
      () => box.setPolicy(GOOD_ONLY),
    );
    expect(printed).toContain('first HTTP/1.1 200');
    expect(printed).toContain(`second HTTP/1.1 ${second}`);
  });
});
