"""Work on its way to another process of the same run: the one place where nastk pickles, and reads a pickle.

It goes through a pipe, a cluster's memory, or a file that this very run has just written into a folder of its own; nothing
else is ever read by it. Data files, checkpoints and what comes back from a batch job are not.
"""

from __future__ import annotations

import pickle

from nastk.core.run.executor import Work


def packed(work: Work) -> bytes:
    """What :func:`unpacked` turns into the work again, where the same packages are installed."""
    return pickle.dumps(work)


def unpacked(data: bytes) -> Work:
    """The work; of a run it is rebuilt from its configuration, once a process. Raises what rebuilding raises."""
    work: Work = pickle.loads(data)
    return work
