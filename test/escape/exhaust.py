"""exhaust.py KIND [COUNT]: uses up something that the kernel counts, or takes COUNT of it; prints how many it got.

Without COUNT it holds what it has until it is killed.
"""
import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time

libc = ctypes.CDLL(None, use_errno=True)
held = []
F_OFD_SETLK = 37
F_GETPIPE_SZ = 1032


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


def pipes(n):
    # Beyond a number of pages of the user, a new pipe gets a page or two instead of sixteen.
    held.append(os.pipe())


def whole_pipes(n):
    pipes(n)
    size = fcntl.fcntl(held[-1][0], F_GETPIPE_SZ)
    if size < 65536:
        raise OSError("a pipe of %d bytes" % size)


def file_locks(n):
    if n == 30_000:
        raise OSError("enough: only memory limits them")
    if n % 1_000 == 0:
        # The kernel goes through all locks of a file for each.
        held.append(tempfile.TemporaryFile())
    # Every other byte: neighbours would become one lock.
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 2 * (n % 1_000), 1, 0)
    fcntl.fcntl(held[-1], F_OFD_SETLK, lock)


def epoll_watches(n):
    if n == 0:
        held.extend(os.eventfd(0) for _ in range(1_500))
        targets.extend(held)
    if n % len(targets) == 0:
        held.append(select.epoll())
    held[-1].register(targets[n % len(targets)], 0)


targets = []
kind = globals()[sys.argv[1]]
most = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000 if kind is epoll_watches else 100_000
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
