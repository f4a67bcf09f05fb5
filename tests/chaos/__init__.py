"""A test by faults: toy trainings are hit at random moments, and must end as if nothing had been.

``python -m tests.chaos`` runs it; ``--help`` tells of its options.

- ``victim``, ``observed``: the program that is hit; ``control``: what it and the harness tell each
  other;
- ``processes``, ``attempts``: programs that are started, watched and cleared away;
- ``checkpoints``: what there is in a work directory, and whether two results are the same;
- ``kinds``: the faults, with ``signals``, ``damage``, ``disk``, ``data`` and ``ranks``;
- ``training``: one training with its faults; ``plan``: which faults hit which; ``report``: a table.
"""
