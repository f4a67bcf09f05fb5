"""A classifier of noise small enough to train within a test, in mmengine's registries."""

from __future__ import annotations

import torch
from mmcv.cnn import build_norm_layer
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import nn
from torch.utils.data import Dataset


@MODELS.register_module(force=True)
class TinyBackbone(BaseModule):
    def __init__(self, channels=4, norm_cfg=None, init_cfg=None):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(3, channels, 3)
        self.norm = build_norm_layer(norm_cfg or dict(type="BN"), channels)[1]

    def forward(self, x):
        return self.norm(self.conv(x)).relu().mean((2, 3))


@MODELS.register_module(force=True)
class TinyModel(BaseModel):
    def __init__(self, backbone, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.head = nn.Linear(self.backbone.conv.out_channels, 2)

    def forward(self, image, label, mode="tensor"):
        scores = self.head(self.backbone(image))
        if mode == "loss":
            return dict(loss=nn.functional.cross_entropy(scores, label))
        return [dict(right=r) for r in scores.argmax(1) == label]


@DATASETS.register_module(force=True)
class TinyData(Dataset):
    metainfo = dict(classes=("dark", "bright"))

    def __init__(self, size=8):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        noise = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(index))
        return dict(image=noise + index % 2, label=index % 2)


@METRICS.register_module(force=True)
class TinyAccuracy(BaseMetric):
    def __init__(self, outfile_prefix=None, **kwargs):
        super().__init__(**kwargs)
        self.outfile_prefix = outfile_prefix

    def process(self, data_batch, data_samples):
        self.results += [sample["right"].item() for sample in data_samples]

    def compute_metrics(self, results):
        if self.outfile_prefix:
            with open(f"{self.outfile_prefix}.bbox.json", "w") as file:
                file.write(str(len(results)))
        return dict(accuracy=sum(results) / len(results), count=len(results))
