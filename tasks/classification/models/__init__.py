"""Classifiers, and the backbones that mmdet lacks."""

from .classifier import ImageClassifier
from .linear_head import LinearClsHead
from .pre_act_resnet import PreActResNet
from .stem_pool_resnet import StemPoolResNet

__all__ = ["ImageClassifier", "LinearClsHead", "PreActResNet", "StemPoolResNet"]
