"""Face recognition. Importing registers the names for configs."""

from tasks import batch_setting, norm_work_dir

from . import data_config, datasets, evaluation, losses, metrics, models, optimizers, transforms

__all__ = [
    "batch_setting",
    "data_config",
    "datasets",
    "evaluation",
    "losses",
    "metrics",
    "models",
    "norm_work_dir",
    "optimizers",
    "transforms",
]
