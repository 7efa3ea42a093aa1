"""Holds the lease of a thread in a process of its own: ``lease_holder.py URL THREAD BEAT_EVERY_S STALE_AFTER_S``.

Says ``held`` or why not, then answers each line on stdin: ``check``, or ``end``. The tests kill and stop it.
"""

import sys

from sqlalchemy import create_engine
from threadmill.checkpoints.lease import open_leases
from threadmill.errors import LeaseLost, ThreadBusy

if __name__ == "__main__":
    url, thread, beat_every_s, stale_after_s = sys.argv[1:]
    leases = open_leases(create_engine(url), beat_every_s=float(beat_every_s), stale_after_s=float(stale_after_s))
    try:
        with leases.hold(thread):
            print("held", flush=True)
            while sys.stdin.readline() == "check\n":
                try:
                    leases.check(thread)
                    print("ours", flush=True)
                except LeaseLost as error:
                    print(f"lost: {error}", flush=True)
        print("ended", flush=True)
    except ThreadBusy as error:
        print(f"busy: {error}", flush=True)
