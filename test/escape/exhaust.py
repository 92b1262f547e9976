"""exhaust.py KIND [COUNT]: uses up something that the kernel counts, or takes COUNT of it; prints how many it got.

Without COUNT it holds what it has until it is killed.
"""
import ctypes
import os
import signal
import socket
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
held = []


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def inotify(n):
    held.append(checked(libc.inotify_init1(0)))


def signals(n):
    if n == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    checked(libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), None))


def terminals(n):
    held.append(os.openpty())


def message_queues(n):
    name = ("/q%d-%d" % (os.getpid(), n)).encode()
    held.append(checked(libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None)))
    # A queue with a name outlives its program, on the host as well. One without a name counts until it is closed.
    checked(libc.mq_unlink(name))


def locked_memory(n):
    import mmap

    pages = mmap.mmap(-1, 1 << 20)
    held.append(pages)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    checked(libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(1 << 20)))


def descriptors_in_flight(n):
    # A message takes 253 of them, and a socket's queue a few hundred messages.
    if n % 100 == 0:
        held.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
    socket.send_fds(held[-1][0], [b"x"], [0] * 253)


def shared_memory(n):
    held.append(checked(libc.shmget(0, 4096, 0o1600)))


def semaphores(n):
    held.append(checked(libc.semget(0, 1, 0o1600)))


kind = globals()[sys.argv[1]]
most = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
got = 0
try:
    while got < most:
        kind(got)
        got += 1
except OSError as error:
    print(error, file=sys.stderr)
print(got, flush=True)
if len(sys.argv) == 2:
    time.sleep(600)
