"""The multi-scale test averages softmax over scales, as the published figures were made."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

import normlib.openmmlab  # noqa: F401  serves the operators that mmseg imports
from normlib.openmmlab import tta_config
from normlib.openmmlab.launch import load_config
from tasks.toy_data import ade20k

CONFIG = Path(__file__).parents[3] / "configs/segmentation/toy/deeplab_r18_toy-ade20k.py"


@torch.no_grad()
def test_softmax_of_every_scale_counts_alike(tmp_path):
    ade20k.generate(tmp_path, ade20k.ADE20KToy(train=1, val=2))
    cfg = load_config(CONFIG, {"ade20k_data.root": str(tmp_path)})
    cfg.test_dataloader.num_workers = 0
    init_default_scope("mmseg")
    tta_config.augment(cfg)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    # Of weights at random one class wins everywhere: larger ones tell places apart.
    torch.nn.init.normal_(model.module.decode_head.conv_seg.weight)
    scales = len(cfg.tta_pipeline[1].transforms[0])
    for batch in Runner.build_dataloader(cfg.test_dataloader, seed=0):
        (merged,) = model.test_step(batch)
        shares = []
        for scale in range(scales):
            one = {key: value[scale] for key, value in batch.items()}
            (sample,) = model.module.test_step(one)
            shares.append(sample.seg_logits.data.softmax(0))
        assert len({tuple(share.shape) for share in shares}) == 1
        predicted = merged.pred_sem_seg.data.squeeze()
        assert torch.equal(predicted, torch.stack(shares).mean(0).argmax(0))
        assert len(predicted.unique()) > 2
        assert any(not torch.equal(predicted, share.argmax(0)) for share in shares)
