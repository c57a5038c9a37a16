"""A measuring process whose cases fail, each in its own way: the real protocol, no torch."""

import os
import signal
import sys
import time

from mnv1.measure.child import connection_of
from mnv1.measure.children import die_with_parent
from mnv1.measure.messages import Described
from mnv1.measure.timing import Visit
from mnv1.measure.worker import serve

GOOD = Visit(((0.1,) * 6,), (1,), 0.6)


class Bench:
    def describe(self):
        return Described({"machine": "test", "pid": os.getpid()}, ())

    def watch(self):
        self.watched = True
        return {}

    def look(self):
        return None

    def visit(self, case, _policy, _earlier):
        match case:
            case "raises":
                raise ValueError("no good\nat all")
            case "out of memory":
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            case "hangs":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                while True:
                    time.sleep(1)
            case "slow":
                time.sleep(2)
                return "the answer of a case that nobody waits for"
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "crashes":
                os.write(2, b"some noise\nfree(): invalid pointer\n")
                os.kill(os.getpid(), signal.SIGABRT)
            case "exits":
                os._exit(3)
            case "watched":
                return self.watched
            case "pid":
                return os.getpid()
        return GOOD


if __name__ == "__main__":
    descriptor, parent, *_ = sys.argv[1:]
    die_with_parent(int(parent))
    serve(connection_of(descriptor), Bench())
