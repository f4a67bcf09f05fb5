"""What a face model has in the place of its classifier where nothing is to be classified."""

from __future__ import annotations

from mmengine.model import BaseModule
from mmengine.registry import MODELS


@MODELS.register_module()
class NoClassifier(BaseModule):
    """No weights: embeddings come without, whatever the number of identities of the training."""

    without_norms = True
