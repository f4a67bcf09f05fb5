"""One top-level norm_cfg: what it sets, what it refuses, and what it tells."""

from __future__ import annotations

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.config import Config
from mmengine.model import BaseModule, revert_sync_batchnorm
from mmengine.registry import MODELS
from torch import nn

import normlib
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.launch import load_config
from normlib.openmmlab.norm_cfg import apply_norm_cfg, check_model
from normlib.openmmlab.norm_notes import training_notes

SMALL = "model = dict(backbone=dict(depth=18), neck=dict(in_channels=[64, 128, 256, 512]))\n"
FASTER = "_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'\n" + SMALL
MASK = "_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'\n" + SMALL
CASCADE = "_base_ = 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py'\n"
C4 = "_base_ = 'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py'\n"
RPN = "_base_ = 'mmdet::_base_/models/rpn_r50_fpn.py'\n"
SOLO = "_base_ = 'mmdet::solov2/solov2_r50_fpn_1x_coco.py'\n"
PSP = (
    "_base_ = 'mmseg::_base_/models/pspnet_r50-d8.py'\n"
    "default_scope = 'mmseg'\n"
    "model = dict(auxiliary_head=[dict(type='FCNHead', in_channels=1024, channels=8, "
    "num_classes=19, norm_cfg=dict(type='SyncBN')) for _ in range(2)])\n"
)
DEEPLAB = "_base_ = 'mmseg::_base_/models/deeplabv3_r50-d8.py'\ndefault_scope = 'mmseg'\n"
SMALL_HEADS = {
    "model__pretrained": None,
    "model__backbone__base_channels": 4,
    "model__decode_head__in_channels": 128,
    "model__decode_head__channels": 4,
    "model__auxiliary_head": None,
}


def read(text: str, **options: object) -> Config:
    cfg = Config.fromstring(text, ".py")
    cfg.setdefault("default_scope", "mmdet")
    cfg.setdefault("train_cfg", {})
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in options.items()})
    return cfg


def norm_of(cfg: Config, path: str):
    module = cfg.model
    for key in path.split("."):
        module = module[int(key) if key.isdigit() else key]
    return module.get("norm_cfg")


def built(cfg: Config) -> tuple[nn.Module, str]:
    changes = apply_norm_cfg(cfg)
    with MODELS.switch_scope_and_registry(cfg.default_scope):
        model = MODELS.build(cfg.model)
        return model, check_model(cfg, model, changes)


def layer_counts(report: str) -> dict[str, int]:
    rows = [line.split() for line in report.splitlines()[2:] if not line.startswith("note")]
    return {row[0]: int(row[-1]) for row in rows}


def norms(module: nn.Module) -> set[type]:
    kinds = (normlib.SwitchNorm, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
    return {type(m) for m in module.modules() if isinstance(m, kinds)}


class TestOneType:
    @pytest.mark.parametrize(
        ("text", "takes", "takes_none"),
        [
            (FASTER, ["backbone", "neck", "roi_head.bbox_head"], ["rpn_head"]),
            (
                MASK,
                ["backbone", "neck", "roi_head.bbox_head", "roi_head.mask_head"],
                ["rpn_head"],
            ),
            (C4, ["backbone", "roi_head.shared_head"], ["rpn_head", "roi_head.bbox_head"]),
            (
                CASCADE,
                ["backbone", "neck", "roi_head.mask_head"]
                + [f"roi_head.bbox_head.{k}" for k in range(3)],
                ["rpn_head"],
            ),
            (SOLO, ["backbone", "neck", "mask_head", "mask_head.mask_feature_head"], []),
            (PSP, ["backbone", "decode_head", "auxiliary_head.0", "auxiliary_head.1"], []),
        ],
        ids=["faster", "mask", "c4", "cascade", "solo", "psp"],
    )
    def test_reaches_every_module_that_takes_a_norm(self, text, takes, takes_none):
        cfg = read(text)
        cfg.norm_cfg = dict(type="SyncSN", momentum=0.003)
        changes = {change.path: change for change in apply_norm_cfg(cfg)}
        assert set(changes) == {*takes, *takes_none}
        for path in takes:
            assert norm_of(cfg, path) == dict(type="SyncSN", momentum=0.003), path
            assert changes[path].accepts
        for path in takes_none:
            assert norm_of(cfg, path) is None
            assert not changes[path].accepts

    def test_the_model_has_it_and_runs_it(self):
        model, _ = built(read(FASTER, norm_cfg__type="SSN"))
        layers = [m for _, m in normlib.switch_norm_layers(model)]
        assert norms(model.backbone) == norms(model.neck) == {normlib.SparseSwitchNorm}
        ran = set()
        for layer in layers:
            layer.register_forward_hook(lambda layer, *_: ran.add(layer))
        model.extract_feat(torch.randn(1, 3, 64, 64))
        assert ran == set(layers)

    def test_mmseg_with_its_sync_bn(self):
        cfg = read(PSP)
        apply_norm_cfg(cfg)
        assert norm_of(cfg, "decode_head") == dict(type="SyncBN", requires_grad=True)
        model, _ = built(read(PSP, norm_cfg__type="SN"))
        parts = (model.backbone, model.decode_head, *model.auxiliary_head)
        assert all(norms(part) == {normlib.SwitchNorm} for part in parts)

    def test_group_norm_gets_32_groups_unless_told(self):
        cfg = read(FASTER, norm_cfg=dict(type="GN", head=dict(type="GN", num_groups=4)))
        apply_norm_cfg(cfg)
        assert norm_of(cfg, "neck") == dict(type="GN", num_groups=32)
        assert norm_of(cfg, "roi_head.bbox_head") == dict(type="GN", num_groups=4)

    def test_a_norm_of_the_users_own(self):
        @MODELS.register_module(name="ScaleOnly", force=True)
        class ScaleOnly(nn.Module):
            def __init__(self, num_features, eps=1e-5):
                super().__init__()
                self.weight = nn.Parameter(torch.ones(num_features, 1, 1))

            def forward(self, x):
                return x * self.weight

        model, report = built(read(FASTER, norm_cfg__type="ScaleOnly"))
        assert sum(isinstance(m, ScaleOnly) for m in model.neck.modules()) == 8
        assert layer_counts(report)["neck"] == 8

    def test_nothing_is_done_without_it(self):
        cfg = read(FASTER)
        before = cfg.copy()
        assert apply_norm_cfg(cfg) == []
        assert cfg.model == before.model


class TestParts:
    def test_those_not_named_keep_theirs(self):
        frozen = dict(type="BN", requires_grad=False)
        cfg = read(MASK, norm_cfg=dict(head=dict(type="SN")), model__backbone__norm_cfg=frozen)
        apply_norm_cfg(cfg)
        assert norm_of(cfg, "backbone") == frozen
        assert "norm_cfg" not in cfg.model.neck
        assert norm_of(cfg, "roi_head.mask_head") == dict(type="SN")

    def test_override_the_type_for_all(self):
        cfg = read(FASTER, norm_cfg=dict(type="SN", backbone=dict(type="BN"), head=None))
        apply_norm_cfg(cfg)
        assert norm_of(cfg, "backbone") == dict(type="BN")
        assert norm_of(cfg, "neck") == dict(type="SN")
        assert norm_of(cfg, "roi_head.bbox_head") is None

    def test_none_takes_the_norm_away(self):
        cfg = read(FASTER, norm_cfg=dict(neck=None), model__neck__norm_cfg=dict(type="BN"))
        model, report = built(cfg)
        assert norms(model.neck) == set()
        assert layer_counts(report) == {"neck": 0}

    def test_a_named_part_may_have_modules_that_normalise_nothing(self):
        model, report = built(read(MASK, norm_cfg=dict(head=dict(type="SN"))))
        assert norms(model.roi_head.mask_head) == {normlib.SwitchNorm}
        assert layer_counts(report) == {
            "rpn_head": 0,
            "roi_head.bbox_head": 0,
            "roi_head.mask_head": 4,
        }


class TestCommandLine:
    @pytest.fixture
    def load(self, tmp_path):
        def loaded(options, text=""):
            path = tmp_path / "faster-rcnn.py"
            path.write_text(FASTER + "default_scope = 'mmdet'\n" + text)
            return load_config(path, options)

        return loaded

    def test_the_type_alone(self, load):
        cfg = load({"norm_cfg.type": "SyncSN"}, "norm_cfg = dict(type='SN', momentum=0.003)\n")
        for path in ("backbone", "neck", "roi_head.bbox_head"):
            assert norm_of(cfg, path) == dict(type="SyncSN", momentum=0.003)

    def test_arguments_that_do_not_fit_the_new_type(self, load):
        text = "norm_cfg = dict(type='GN', num_groups=16)\n"
        with pytest.raises(ConfigError, match=r"num_groups'.*norm_cfg\._delete_=True"):
            load({"norm_cfg.type": "SN"}, text)
        cfg = load({"norm_cfg._delete_": True, "norm_cfg.type": "SN"}, text)
        assert norm_of(cfg, "neck") == dict(type="SN")

    def test_errors_name_the_file(self, load):
        with pytest.raises(ConfigError, match=r"faster-rcnn\.py: norm_cfg\.type is 'SNN'"):
            load({"norm_cfg.type": "SNN"})


@pytest.mark.parametrize(
    ("text", "norm_cfg", "message"),
    [
        (FASTER, "SN", r"norm_cfg is 'SN'; .*norm_cfg\.type=SN"),
        (FASTER, dict(type="SNN"), r"'SNN', which is no norm; norms are BN, .*SN, .*SyncSSN"),
        (FASTER, dict(type="Conv2d"), r"'Conv2d', which is no norm; norms are BN"),
        (FASTER, dict(type="ReLU"), r"'ReLU', which is no norm"),
        (FASTER, dict(type=None), r"None, which is no norm"),
        (FASTER, dict(momentum=0.1), r"has the keys \['momentum'\].*the parts backbone, neck"),
        (
            FASTER,
            dict(heads=dict(type="SN")),
            r"has the part 'heads'; the parts are backbone, neck, head",
        ),
        (FASTER, dict(type="SN", heads=None), r"unexpected keyword argument 'heads'"),
        (FASTER, dict(type="SN", normalizers=["gn"]), r"\['gn'\].*\('in', 'ln', 'bn'\)"),
        (FASTER, dict(type="GN", num_groups=0), r"'num_groups': 0.* does not build"),
        (FASTER, dict(neck=dict(momentum=1)), r"norm_cfg\.neck is .*with a type"),
        (FASTER, dict(neck="SN"), r"norm_cfg\.neck is 'SN'"),
        (FASTER, dict(neck=dict(type="SNN")), r"norm_cfg\.neck\.type is 'SNN'"),
        (FASTER, dict(backbone=None), r"norm_cfg\.backbone is None"),
        (C4, dict(_delete_=True, neck=dict(type="SN")), r"FasterRCNN\) has no neck"),
        (
            RPN,
            dict(type="SN"),
            r"SN in the head, but model\.rpn_head \(RPNHead\) takes no norm_cfg; .*"
            r"dict\(backbone=dict\(\.\.\.\), neck=dict\(\.\.\.\)\)",
        ),
        (
            "model = dict(type='SoftTeacher', detector=dict(type='FasterRCNN'))",
            dict(type="SN"),
            r"SoftTeacher\) has no backbone, neck or head.*\['detector', 'type'\]",
        ),
        (
            "model = dict(type='X', backbone=dict(type='NoNet'))",
            dict(type="SN"),
            r"'NoNet', which is not registered",
        ),
    ],
)
def test_what_cannot_be_done_is_an_error(text, norm_cfg, message):
    with pytest.raises(ConfigError, match=message):
        apply_norm_cfg(read(text, norm_cfg=norm_cfg))


class TestCheckModel:
    def test_the_table(self):
        cfg = read(
            FASTER,
            norm_cfg=dict(type="SN", normalizers=("in", "ln")),
            model__roi_head__bbox_head__type="Shared4Conv1FCBBoxHead",
            train_cfg=None,
        )
        assert built(cfg)[1].splitlines() == [
            " module               type                     norm before              norm now"
            "                       layers",
            " " + "─" * 108,
            " backbone             ResNet                   BN(requires_grad=True)   "
            "SN(normalizers=('in', 'ln'))       20",
            " neck                 FPN                      -                        "
            "SN(normalizers=('in', 'ln'))        8",
            " rpn_head             RPNHead                  -                        "
            "takes none                          0",
            " roi_head.bbox_head   Shared4Conv1FCBBoxHead   -                        "
            "SN(normalizers=('in', 'ln'))        4",
        ]

    def test_the_default_of_a_class_is_its_norm_before(self):
        cfg = read(FASTER, norm_cfg__type="SN")
        del cfg.model.backbone["norm_cfg"]
        assert apply_norm_cfg(cfg)[0].before == dict(type="BN", requires_grad=True)

    def test_a_named_part_without_layers_is_an_error(self):
        message = r"SN in the head, but model\.roi_head\.bbox_head \(Shared2FCBBoxHead\).*Shared4"
        with pytest.raises(ConfigError, match=message):
            built(read(FASTER, norm_cfg=dict(head=dict(type="SN"))))
        report = built(read(FASTER, norm_cfg__type="SN"))[1]
        assert layer_counts(report)["roi_head.bbox_head"] == 0

    def test_a_backbone_that_ignores_its_norm_cfg_is_an_error(self):
        @MODELS.register_module(name="Deaf", force=True)
        class Deaf(BaseModule):
            def __init__(self, norm_cfg=None):
                super().__init__()
                self.conv = ConvModule(3, 3, 1, norm_cfg=dict(type="BN"))

        MODELS.register_module(name="OnlyBackbone", module=OnlyBackbone, force=True)
        cfg = read("model = dict(type='OnlyBackbone', backbone=dict(type='Deaf'))")
        cfg.norm_cfg = dict(type="SN")
        with pytest.raises(ConfigError, match=r"SN in the backbone, but .*only 1 BatchNorm2d"):
            built(cfg)

    def test_other_norms_of_a_module_are_told(self):
        @MODELS.register_module(name="Mixed", force=True)
        class Mixed(BaseModule):
            def __init__(self, norm_cfg=None):
                super().__init__()
                self.convs = ConvModule(3, 8, 1, norm_cfg=norm_cfg)
                self.others = nn.Sequential(nn.BatchNorm2d(8), nn.BatchNorm2d(8), nn.LayerNorm(8))

        MODELS.register_module(name="OnlyBackbone", module=OnlyBackbone, force=True)
        cfg = read("model = dict(type='OnlyBackbone', backbone=dict(type='Mixed'))")
        cfg.norm_cfg = dict(type="SN")
        note = "note: model.backbone also has 2 BatchNorm2d, 1 LayerNorm, which its norm_cfg does"
        assert note in built(cfg)[1]

    @pytest.mark.parametrize("wanted", ["SyncBN", "BN"])
    def test_sync_bn_and_bn_count_as_one(self, wanted):
        cfg = read(FASTER, norm_cfg=dict(backbone=dict(type=wanted), neck=dict(type=wanted)))
        changes = apply_norm_cfg(cfg)
        with MODELS.switch_scope_and_registry("mmdet"):
            model = MODELS.build(cfg.model)
        convert = {"BN": nn.SyncBatchNorm.convert_sync_batchnorm, "SyncBN": revert_sync_batchnorm}
        report = check_model(cfg, convert[wanted](model), changes)
        assert layer_counts(report) == {"backbone": 20, "neck": 8}


class OnlyBackbone(BaseModule):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = MODELS.build(backbone)


def notes(**options: object) -> str:
    options = {"model__backbone__frozen_stages": -1, **options}
    cfg = read(FASTER, **{"norm_cfg__type": "SN", "model__backbone__norm_eval": False, **options})
    return "\n".join(line for line in built(cfg)[1].splitlines() if line.startswith("note"))


class TestNotes:
    """Every note on what training will do is held against what it does."""

    def test_there_are_none_where_nothing_surprises(self):
        assert notes() == ""

    def test_norm_eval(self):
        text = notes(model__backbone__norm_eval=True)
        assert "model.backbone.norm_eval=True reaches batch norm alone" in text
        assert text.count("note") == 1
        cfg = read(FASTER, norm_cfg__type="SN", model__backbone__frozen_stages=-1)
        model = built(cfg)[0].train()
        assert model.backbone.norm_eval
        assert all(layer.training for _, layer in normlib.switch_norm_layers(model))

    def test_norm_eval_by_default_of_the_class_and_in_a_shared_head(self):
        cfg = read(C4, norm_cfg=dict(_delete_=True, type="SN"))
        del cfg.model.backbone["norm_eval"]
        report = built(cfg)[1]
        assert "note: model.backbone.norm_eval=True" in report
        assert "note: model.roi_head.shared_head.norm_eval=True" in report

    def test_frozen_stages(self):
        text = notes(model__backbone__frozen_stages=1)
        assert "frozen_stages=1: in the frozen stages switchable norms run in evaluation" in text
        assert text.count("note") == 1
        cfg = read(FASTER, norm_cfg__type="SN", model__backbone__frozen_stages=1)
        backbone = built(cfg)[0].train().backbone
        assert not backbone.sn1.training
        assert not backbone.layer1[0].sn1.training
        assert not backbone.layer1[0].sn1.mean_weight.requires_grad
        assert backbone.layer2[0].sn1.training

    @pytest.mark.parametrize("norm", ["SN", "BN"])
    def test_frozen_stages_without_weights(self, norm):
        scratch = {
            "model__backbone__frozen_stages": 1,
            "model__backbone__init_cfg": None,
            "norm_cfg__type": norm,
        }
        told = "frozen_stages=1 but no weights are loaded"
        assert told in notes(**scratch)
        assert told not in notes(**scratch, load_from="some.pth")
        pretrained = {"type": "Pretrained", "checkpoint": "some.pth"}
        assert told not in notes(**{**scratch, "model__backbone__init_cfg": pretrained})

    def test_frozen_gamma_and_beta(self):
        frozen = {"norm_cfg__type": "BN", "norm_cfg__requires_grad": False}
        told = "note: model.backbone: BN with requires_grad=False freezes gamma and beta alone"
        assert told in notes(**frozen)
        assert notes(**frozen, model__backbone__norm_eval=True) == ""
        # Frozen stages are in evaluation mode anyway.
        assert notes(norm_cfg__type="BN", model__backbone__frozen_stages=1) == ""

    def test_switchable_norms_that_do_not_learn(self):
        assert "ratios of 28 switchable norms stay" in notes(norm_cfg__requires_grad=False)

    @pytest.mark.parametrize(
        ("text", "place", "head"),
        [
            (PSP, "model.decode_head.psp_modules.0", "PoolNormPSPHead"),
            (DEEPLAB, "model.decode_head.image_pool", "PoolNormASPPHead"),
        ],
        ids=["psp", "aspp"],
    )
    def test_one_pixel(self, text, place, head):
        report = built(read(text, norm_cfg=dict(type="SyncSN"), **SMALL_HEADS))[1]
        (note,) = (line for line in report.splitlines() if line.startswith("note"))
        assert note == (
            f"note: {place} normalises maps of 1x1, whose instance statistics are degenerate (the "
            f"variance of one pixel is 0); model.decode_head.type='{head}' takes no norm there, or "
            "the one that its pool_norm_cfg names"
        )

    @pytest.mark.parametrize(
        "norm",
        [
            dict(type="BN"),
            dict(type="SN", normalizers=("ln", "bn")),
            dict(backbone=dict(type="SN")),
        ],
    )
    def test_one_pixel_of_other_norms(self, norm):
        assert "1x1" not in built(read(PSP, norm_cfg=norm, **SMALL_HEADS))[1]

    def test_one_pixel_of_other_heads(self):
        class Pooled(nn.Module):
            def __init__(self):
                super().__init__()
                self.gates = nn.ModuleList(
                    nn.Sequential(nn.AdaptiveAvgPool2d((k, k)), nn.Conv2d(3, 3, 1), norm)
                    for k, norm in ((1, normlib.SwitchNorm(3)), (2, normlib.SwitchNorm(3)))
                )
                self.before = nn.Sequential(normlib.SwitchNorm(3), nn.AdaptiveAvgPool2d(1))

        (note,) = training_notes(Config(), Pooled())
        assert note.startswith("model.gates.0 normalises maps of 1x1")
        assert note.endswith("give that place no norm, or another one")

    def test_an_evaluation_is_told_nothing_about_training(self):
        assert notes(norm_cfg__type="SSN", model__backbone__norm_eval=True, train_cfg=None) == ""
