"""Work shared by processes that end with the one that asked for it."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def in_processes(function: Callable, jobs: Iterable, workers: int) -> Iterator:
    """function(job) for every job, in order, in `workers` spawned processes; function and jobs must be picklable.

    Ctrl-C, an error, or a caller who stops listening ends the processes at once. Raises what function raises, and
    BrokenProcessPool if a process dies.
    """
    pool = ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),  # Ctrl-C goes to the whole group; only the parent acts on it
    )
    try:
        yield from pool.map(function, jobs)
    except BaseException:
        for process in list((pool._processes or {}).values()):  # public from Python 3.14 on: terminate_workers
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
