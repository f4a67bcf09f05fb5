"""Where each weight of a released checkpoint goes: one table of rules for each format.

Keys are without a leading ``module.``. Targets are keys of whole models of this project: a
``backbone.`` with the names of mmdet's ResNet, and ``head.``, ``neck.`` and so on beside it.
``{norm}`` in a target is ``sn``, ``bn`` or ``gn``, by what the file holds there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rule:
    """What becomes of the keys that match a pattern.

    Attributes:
        pattern: Regular expression for the start of a key.
        target: Replacement of what matched, or a function of the match; None drops the key.
        about: What the keys are, for reports.
        change: What is done to the values beyond flattening.
        needs: A key without which the rule does not count.
    """

    pattern: str
    target: str | Callable[[re.Match[str]], str] | None
    about: str
    change: Callable[[Tensor], Tensor] | None = None
    needs: str | None = None

    def match(self, key: str, state: Mapping[str, object]) -> re.Match[str] | None:
        """The match of a key, if the rule is about it."""
        if self.needs is not None and self.needs not in state:
            return None
        return re.match(self.pattern, key)


@dataclass(frozen=True)
class Format:
    """A kind of released checkpoint.

    Attributes:
        title: Its name, for reports.
        marks: Regular expressions, each of which a key has to match from its start.
        rules: The first one that matches a key counts.
        norm_type: ``norm_cfg.type`` of its norms.
        settings: Further entries of the ``norm_cfg`` that evaluates a file as published.
        notes: What else an evaluation has to match.
        wide: Whether models of OpenMMLab may have such keys as well; only the shapes of the norms
            then tell a released file.
    """

    title: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]
    norm_type: str = "SN"
    settings: tuple[tuple[str, object], ...] = (("momentum", 0.1), ("unbiased", True))
    notes: tuple[str, ...] = ()
    wide: bool = False


def background_last(weights: Tensor) -> Tensor:
    """Class 0 is the background in Detectron; mmdet has it after all others."""
    return weights.roll(-1, 0)


def without_background_box(weights: Tensor) -> Tensor:
    """Detectron regresses a box for the background as well."""
    return weights[4:]


def without_background_mask(weights: Tensor) -> Tensor:
    """Detectron predicts a mask for the background as well."""
    return weights[1:]


_DROPPED = (
    Rule(
        r".*\.(batch_mean|batch_var|_?tmp_running_(mean|var)|_running_iter)$",
        None,
        "sums of a batch average in progress",
    ),
)
_STAGES = r"(conv1|(?:sn|bn|gn)1|layer\d+)\."
_RESNET = (
    Rule(r"fc\.(weight|bias)$", r"head.fc.\1", "classifier"),
    Rule(rf"{_STAGES}", r"backbone.\1.", "backbone"),
)
# Some files call every norm bn, whatever it is.
_OTHER_NORMS = (
    Rule(r"((?:layer\d+\.\d+\.)?)(?:bn|gn)(\d)\.", r"backbone.\1{norm}\2.", "backbone"),
)
# The released model has a bare convolution where mmdet's ResNet has a sequence.
_PRE_ACTIVATION = (
    Rule(r"(layer\d+\.\d+)\.downsample\.weight$", r"backbone.\1.downsample.0.weight", "shortcuts"),
    Rule(r"sn_out\.", "backbone.sn_out.", "norm after the last stage"),
)

_BODY = r"Conv_Body\.(?:conv_body\.)?"


def _stage(match: re.Match[str]) -> str:
    return f"backbone.layer{int(match[1]) - 1}."


def _lateral(match: re.Match[str]) -> str:
    return f"neck.lateral_convs.{2 - int(match[1])}."


def _output(match: re.Match[str]) -> str:
    return f"neck.fpn_convs.{3 - int(match[1])}."


_PARTS = {"0": "conv.", "1": "{norm}."}


def _conv_module(prefix: str) -> Callable[[re.Match[str]], str]:
    return lambda match: prefix + _PARTS[match[1]]


def _then_part(level: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
    return lambda match: level(match) + _PARTS[match[2]]


def _stacked(prefix: str) -> Callable[[re.Match[str]], str]:
    """Sequences of convolution, norm and ReLU are one list of ConvModules here."""
    return lambda match: f"{prefix}.{int(match[1]) // 3}." + ("conv.", "{norm}.")[int(match[1]) % 3]


_DETECTRON = (
    Rule(rf"{_BODY}res1\.(conv1|(?:sn|bn|gn)1)\.", r"backbone.\1.", "backbone"),
    Rule(rf"{_BODY}res([2-5])\.", _stage, "backbone"),
    Rule(rf"{_BODY}classifier\.", "head.fc.", "classifier"),
    Rule(r"Conv_Body\.conv_top\.([01])\.", _conv_module("neck.lateral_convs.3."), "FPN"),
    Rule(r"Conv_Body\.conv_top\.(?=weight|bias)", "neck.lateral_convs.3.conv.", "FPN"),
    Rule(
        r"Conv_Body\.topdown_lateral_modules\.([012])\.conv_lateral\.([01])\.",
        _then_part(_lateral),
        "FPN",
    ),
    Rule(
        r"Conv_Body\.topdown_lateral_modules\.([012])\.conv_lateral\.(?=weight|bias)",
        lambda match: _lateral(match) + "conv.",
        "FPN",
    ),
    Rule(r"Conv_Body\.posthoc_modules\.([0-3])\.([01])\.", _then_part(_output), "FPN"),
    Rule(
        r"Conv_Body\.posthoc_modules\.([0-3])\.(?=weight|bias)",
        lambda match: _output(match) + "conv.",
        "FPN",
    ),
    Rule(r"RPN\.(?:FPN_)?RPN_conv\.", "rpn_head.rpn_conv.", "RPN"),
    Rule(r"RPN\.(?:FPN_)?RPN_cls_score\.", "rpn_head.rpn_cls.", "RPN"),
    Rule(r"RPN\.(?:FPN_)?RPN_bbox_pred\.", "rpn_head.rpn_reg.", "RPN"),
    Rule(r"Box_Head\.res5\.", "roi_head.shared_head.layer4.", "stage 4 of the backbone, as head"),
    Rule(r"Box_Head\.fc1\.", "roi_head.bbox_head.shared_fcs.0.", "box head"),
    Rule(r"Box_Head\.fc2\.", "roi_head.bbox_head.shared_fcs.1.", "box head"),
    Rule(r"Box_Head\.fc\.", "roi_head.bbox_head.shared_fcs.0.", "box head"),
    Rule(
        r"Box_Head\.convs\.(\d+)\.",
        _stacked("roi_head.bbox_head.shared_convs"),
        "box head",
        needs="Box_Head.convs.1.weight",
    ),
    Rule(
        r"Box_Outs\.cls_score\.",
        "roi_head.bbox_head.fc_cls.",
        "classes of boxes, the background last",
        background_last,
    ),
    Rule(
        r"Box_Outs\.bbox_pred\.",
        "roi_head.bbox_head.fc_reg.",
        "boxes, without that of the background",
        without_background_box,
    ),
    Rule(
        r"Mask_Head\.conv_fcn\.(\d+)\.",
        _stacked("roi_head.mask_head.convs"),
        "mask head",
        needs="Mask_Head.conv_fcn.1.weight",
    ),
    Rule(r"Mask_Head\.upconv\.", "roi_head.mask_head.upsample.", "mask head"),
    Rule(
        r"Mask_Outs\.classify\.",
        "roi_head.mask_head.conv_logits.",
        "masks, without that of the background",
        without_background_mask,
    ),
)

_DECODER = (
    Rule(r"cbr\.([01])\.", _conv_module("decode_head.convs.0."), "decoder"),
    Rule(r"conv_last\.(?=weight|bias)", "decode_head.conv_seg.", "decoder"),
    Rule(r"cbr_deepsup\.([01])\.", _conv_module("auxiliary_head.convs.0."), "auxiliary decoder"),
    Rule(r"conv_last_deepsup\.", "auxiliary_head.conv_seg.", "auxiliary decoder"),
)

_FACE = (
    Rule(r"basemodel\.output_layer\.0\.", "neck.{norm}.", "norm of the last map"),
    Rule(r"basemodel\.output_layer\.3\.", "neck.fc.", "embedding"),
    Rule(r"basemodel\.output_layer\.4\.", "neck.embedding_norm.", "norm of the embedding"),
    Rule(r"basemodel\.((?:layer\d+\.\d+\.)?)norm(\d)\.", r"backbone.\1{norm}\2.", "backbone"),
    Rule(r"basemodel\.(layer\d+\.\d+\.se\.)pelu\.", r"backbone.\1prelu.", "backbone"),
    Rule(r"basemodel\.(?=layer|conv1\.|prelu\.)", "backbone.", "backbone"),
    Rule(r"head\.weight$", "head.weight", "class centres"),
)

_PIXELS = "pixels: RGB, mean 123.675/116.28/103.53, std 58.395/57.12/57.375"
_FACE_NOTES = (
    "backbone=dict(type='IRResNet'), neck=dict(type='EmbeddingNeck', "
    "embedding_norm_cfg=dict(type='BN1d')): every file has BatchNorm1d there, with eps 1e-5",
    "pixels: RGB, (x - 127.5) / 127.5",
)
_POOL = "the stem pools with padding 1, as mmdet's ResNet does"

# In the order in which they are tried.
FORMATS = (
    Format(
        "SSN classification",
        (r"(layer\d+\.\d+\.)?sn1\.mean_fixed$", rf"{_STAGES}"),
        _DROPPED + _RESNET,
        "SSN",
        (("momentum", 0.003), ("unbiased", True)),
        (
            "the stem pools with MaxPool2d(3, 2, padding=0, ceil_mode=True): "
            "backbone=dict(type='StemPoolResNet', stem_pool='ceil')",
            _PIXELS,
        ),
    ),
    Format(
        "ResNet v2 (pre-activation) classification",
        (r"sn_out\.mean_weight$", rf"{_STAGES}"),
        _DROPPED + _PRE_ACTIVATION + _RESNET,
        notes=("backbone=dict(type='PreActResNet')", _POOL, _PIXELS),
        wide=True,
    ),
    Format(
        "detection (Detectron.pytorch)",
        (r"Conv_Body\.",),
        _DROPPED + _DETECTRON,
        settings=(("momentum", 0.003), ("unbiased", True)),
        notes=(
            _POOL,
            _PIXELS,
            "of a detector, all weights are here; but Detectron counts pixels of boxes, anchors "
            "and RoIAlign in another way than mmdet (one pixel, half a pixel): the published AP "
            "is not to be expected to the last digit",
        ),
    ),
    Format(
        "face recognition",
        (r"basemodel\.norm1\.mean_weight$",),
        _DROPPED + _FACE,
        settings=(("eps", 2e-5), ("momentum", 0.1), ("unbiased", True)),
        notes=_FACE_NOTES,
    ),
    Format(
        "face recognition, BN",
        (r"basemodel\.",),
        _DROPPED + _FACE,
        "BN",
        (("eps", 2e-5),),
        ("evaluates as published with norm_cfg=dict(type='BN', eps=2e-05)", *_FACE_NOTES),
    ),
    Format(
        "segmentation decoder",
        (r"cbr\.0\.", r"conv_last\."),
        _DROPPED + _DECODER,
        notes=("FCNHead(num_convs=1, concat_input=False) as decode_head and auxiliary_head",),
    ),
    Format(
        "ResNet v1 classification, or segmentation encoder",
        (r"sn1\.mean_weight$", rf"{_STAGES}"),
        _DROPPED + _RESNET,
        notes=(_POOL, _PIXELS + " (the segmentation models: BGR minus 102.98/115.95/122.77)"),
        wide=True,
    ),
)

# What the released ResNets with BN and GN have in common with everybody else's: asked for only.
PLAIN = Format(
    "ResNet with BN or GN, as a classifier or segmentation encoder",
    (r"(bn|gn)1\.weight$", r"conv1\.weight$", r"layer1\.0\.conv1\.weight$"),
    _DROPPED + _OTHER_NORMS + _RESNET,
    notes=(_POOL,),
)

_KINDS = (("mean_weight", "sn"), ("running_mean", "bn"), ("weight", "gn"))


def norm_kind(state: Mapping[str, object], module: str) -> str:
    """``'sn'``, ``'bn'`` or ``'gn'``, by what a file holds for a module."""
    return next((kind for name, kind in _KINDS if f"{module}.{name}" in state), "norm")
