"""Runs that can be left at any moment and end, bit for bit, where they would have ended.

- ``random_streams``: randomness that follows from the seed and the place in a training;
- ``data_loading``: dataloaders that begin at any batch; ``loops``: training loops that do;
- ``run_state``: what a checkpoint keeps of a run besides weights, optimizer and schedules;
- ``writing``: checkpoints written whole or not at all; ``choice``: which one a run goes on from.
"""
