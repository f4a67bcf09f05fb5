"""CheckedLoader: where it begins, and what it knows of its workers."""

from __future__ import annotations

import gc
import multiprocessing.queues
import os
import random
import signal
import time

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, Subset

from normlib.openmmlab.errors import TrainingError
from normlib.openmmlab.resuming import data_loading as module
from normlib.openmmlab.resuming.data_loading import CheckedLoader, naming_dead_workers


class Numbers(Dataset):
    """Samples that are their number and a random one; sample 5 may do something else."""

    def __init__(self, action=None):
        self.action = action

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == 5 and self.action is not None:
            self.action()
        return index, random.random()

    def get_data_info(self, index):
        return {"img_path": f"images/{index}.jpg"}


class Batched(Numbers):
    """Reads a batch by itself."""

    def __getitems__(self, indices):
        return [("batch of", len(indices)), *map(self.__getitem__, indices)]


def loader(dataset=None, sampler=DefaultSampler, batch=3, seed=1, **options):
    dataset = dataset or Numbers()
    batches = BatchSampler(sampler(dataset, seed=0), batch, drop_last=False)
    options = {"collate_fn": list, **options}
    return CheckedLoader.of(DataLoader(dataset, batch_sampler=batches, **options), seed)


class TestPlace:
    @pytest.mark.parametrize("skipped", [0, 1, 3, 4])
    def test_what_is_left_is_as_in_the_whole(self, skipped):
        whole = list(loader())
        rest = loader()
        assert rest.batches.skip(skipped) == 0
        assert list(rest) == whole[skipped:]
        # The next epoch is whole again.
        assert len(list(rest)) == len(rest) == 4

    def test_epochs_of_a_sampler_that_ends(self):
        whole = loader()
        every = [batch for epoch in range(3) for batch in epochs(whole, epoch)]
        rest = loader()
        assert rest.batches.skip(9) == 2
        assert list(rest) == every[9:]

    def test_a_sampler_that_never_ends(self):
        stream = iter(loader(sampler=InfiniteSampler))
        every = [next(stream) for _ in range(12)]
        rest = loader(sampler=InfiniteSampler)
        rest.batches.skip(7)
        stream = iter(rest)
        assert [next(stream) for _ in range(5)] == every[7:]

    def test_no_sample_is_read_in_vain(self):
        def fail():
            raise AssertionError("read")

        untouched = loader(Numbers(fail), batch=1)
        order = [batch[0][0] for batch in loader(batch=1)]
        untouched.batches.skip(order.index(5) + 1)
        assert len(list(untouched)) == 9 - order.index(5)


class TestRandomness:
    def test_follows_from_seed_and_place_alone(self):
        random.seed(3)
        first = list(loader())
        random.seed(4)
        assert list(loader(num_workers=2)) == list(loader(num_workers=1)) == first
        assert list(loader(seed=2)) != first

    def test_of_data_sets_that_read_batches(self):
        plain, batched = list(loader()), list(loader(Batched()))
        assert [batch[1:] for batch in batched] == plain
        assert batched[0][0] == ("batch of", 3)

    def test_ranks_draw_otherwise(self, rank_pool):
        first, second = rank_pool(2).run(draw)
        assert not {number for _, number in first} & {number for _, number in second}
        # Together they draw the samples that one process does.
        assert sorted(index for index, _ in first + second) == list(range(10))


@pytest.mark.parametrize("data", [Numbers, Batched])
def test_other_loaders_of_the_same_data_read_as_before(data):
    dataset = data()
    others = [dataset, Subset(dataset, range(1, 10))]
    before = [read(other) for other in others]
    list(loader(dataset))
    assert [read(other) for other in others] == before


def test_streams_are_left_alone():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    plain = DataLoader(Stream())
    assert CheckedLoader.of(plain, 1) is plain


class TestDeadWorkers:
    @pytest.fixture(autouse=True)
    def ended(self):
        """No worker outlives its test, in the next of which torch would tell of it."""
        before = set(torch.multiprocessing.active_children())
        yield
        gc.collect()
        for child in set(torch.multiprocessing.active_children()) - before:
            child.join(60)

    def killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_name_the_sample_that_they_held(self, workers):
        with (
            pytest.raises(
                TrainingError,
                match=r"(signal: Killed|unexpectedly): process \d+ held sample 5: images/5.jpg",
            ),
            naming_dead_workers(),
        ):
            list(loader(Numbers(self.killed), num_workers=workers))

    def test_that_end_by_themselves(self):
        with (
            pytest.raises(TrainingError, match=r"held sample 5: images/5.jpg.*--shm-size"),
            naming_dead_workers(),
        ):
            list(loader(Numbers(lambda: os._exit(3)), num_workers=1))

    def test_that_go_while_their_batch_is_received(self, monkeypatch):
        parent, receive = os.getpid(), multiprocessing.queues.Queue.get

        def lose(self, *args, **options):
            # A worker, which inherits this, would end by it, and torch tell of that at any time.
            if os.getpid() != parent:
                return receive(self, *args, **options)
            raise ConnectionResetError(104, "Connection reset by peer")

        monkeypatch.setattr(multiprocessing.queues.Queue, "get", lose)
        # Its frame is one of multiprocessing, where a connection breaks.
        code = lose.__code__.replace(co_filename="/lib/multiprocessing/connection.py")
        monkeypatch.setattr(lose, "__code__", code)
        with (
            pytest.raises(TrainingError, match=r"has gone while its batch was received"),
            naming_dead_workers(),
        ):
            list(loader(num_workers=1))

    def test_that_are_told_of_while_an_error_is_looked_at(self, monkeypatch):
        """Torch's handler of SIGCHLD raises wherever the process is."""
        told, tell = [], module.traceback.extract_tb

        def interrupted(trace):
            if not told:
                told.append(True)
                raise RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. ")
            return tell(trace)

        monkeypatch.setattr(module.traceback, "extract_tb", interrupted)
        with (
            pytest.raises(TrainingError, match=r"a DataLoader worker is killed by signal: Killed"),
            naming_dead_workers(),
        ):
            raise ConnectionResetError(104, "Connection reset by peer")

    def test_files_that_are_missing_are_no_workers(self):
        def miss():
            raise FileNotFoundError("5.jpg")

        for workers in (0, 1):
            with pytest.raises(FileNotFoundError, match=r"5.jpg"), naming_dead_workers():
                list(loader(Numbers(miss), num_workers=workers))

    def test_other_errors_stay(self):
        with pytest.raises(RuntimeError, match="anything"), naming_dead_workers():
            raise RuntimeError("anything")

    def test_signals_to_all_are_the_parents_to_answer(self):
        """As torchrun and Slurm send them; whatever threads libraries start in a worker."""

        def signal_oneself():
            for number in (signal.SIGTERM, signal.SIGUSR1) * 20:
                os.kill(os.getpid(), number)
                time.sleep(0.01)

        threads = torch.get_num_threads()
        torch.set_num_threads(2)  # makes a pool, which PyTorch makes again in every worker
        try:
            assert len(list(loader(Numbers(signal_oneself), num_workers=2))) == 4
        finally:
            torch.set_num_threads(threads)

    @pytest.mark.parametrize("start", ["fork", "forkserver"])
    def test_their_parent_can_end_them(self, start):
        """Also where it is another process that forks them."""
        before = set(torch.multiprocessing.active_children())
        options = {"persistent_workers": True, "multiprocessing_context": start}
        waiting = iter(loader(num_workers=1, **options))
        next(waiting)
        (child,) = set(torch.multiprocessing.active_children()) - before
        child.terminate()
        child.join(120)
        code = child.exitcode
        child.kill()  # one that cannot be ended would keep this process from its end
        assert code == 0


def read(dataset):
    random.seed(3)
    return list(DataLoader(dataset, 3, collate_fn=list))


def epochs(checked, epoch):
    checked.batches.set_epoch(epoch)
    return list(checked)


def draw(rank):
    return [sample for batch in loader() for sample in batch]
