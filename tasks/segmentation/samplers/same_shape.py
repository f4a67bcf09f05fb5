"""Batches of images of one size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator

from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler, Sampler


@DATA_SAMPLERS.register_module()
class SameShapeBatchSampler(BatchSampler):
    """Batches whose samples are of one group, so that little of them is padding.

    Samples are drawn as `sampler` says; those of a group come into a batch once there are enough,
    in the order in which they were drawn. A sampler that ends leaves incomplete groups: their
    samples come into the last batches, which mix groups. Training is best done with an
    `InfiniteSampler`, which leaves nothing.

    Args:
        sampler: Of mmengine, over a data set with a method `group_of(index)`, such as
            `ShortSideDataset`. In each process it draws that process's share.
        batch_size: Samples a batch.
        drop_last: Whether to leave out a last batch that has fewer.

    Raises:
        TypeError: The data set has no `group_of`.
        ValueError: `batch_size` is not a positive number.
    """

    def __init__(self, sampler: Sampler[int], batch_size: int, drop_last: bool = False) -> None:
        dataset = getattr(sampler, "dataset", None)
        if not hasattr(dataset, "group_of"):
            raise TypeError(
                f"SameShapeBatchSampler cannot group the samples of a {type(dataset).__name__}, "
                "which has no group_of(index); wrap the data set in ShortSideDataset"
            )
        super().__init__(sampler, batch_size, drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for index in self.sampler:
            group = self.sampler.dataset.group_of(index)
            groups[group].append(index)
            if len(groups[group]) == self.batch_size:
                yield groups.pop(group)
        left = [index for group in groups.values() for index in group]
        for start in range(0, len(left), self.batch_size):
            batch = left[start : start + self.batch_size]
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch
