"""One thread or all of them: the first replays find out, since the answer depends on the machine and its neighbours."""

from time import perf_counter

from dl.recorder.build import Built

BLOCK, ROUNDS = 4, 4  # consecutive replays of one program, and how often each has its turn


class Trial:
    """Programs that give the same bits, called in turns at first; then `built` is the one with the best time."""

    def __init__(self, candidates: list[Built]):
        self.candidates = candidates
        self.best = [float("inf")] * len(candidates)
        self.calls = 0
        self.built = candidates[0]

    @property
    def decided(self) -> bool:
        return len(self.candidates) == 1 or self.calls >= BLOCK * ROUNDS * len(self.candidates)

    def __call__(self, *arrays):
        if self.decided:
            return self.built.program(*arrays)
        k = self.calls // BLOCK % len(self.candidates)
        self.calls += 1
        begin = perf_counter()
        values = self.candidates[k].program(*arrays)
        self.best[k] = min(self.best[k], perf_counter() - begin)
        if self.decided:
            self.built = self.candidates[self.best.index(min(self.best))]
            self.candidates = [self.built]
        return values
