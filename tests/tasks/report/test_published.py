"""A published figure stands beside a run only where the run is that row of the table."""

from __future__ import annotations

import pytest

from tasks.report.published import standing
from tasks.report.records import read_record
from tests.tasks.report.work_dirs import write_benchmark, write_metrics

SN_FPN = "configs/detection/faster-rcnn_r50-sn_fpn_8xb2-1x_coco.py"
I3D = "configs/video/modern/i3d_r50-32x2_8xb8-100e_kinetics400.py"
RESNET = "configs/classification/resnet50-bn_8xb32-100e_imagenet.py"
RELEASED = "configs/segmentation/paper/deeplab_r50-d8-released_8xb2-100k_ade20k.py"
EVALUATED = {"classification": 50_000, "detection": 5000, "segmentation": 2000, "video": 19_404}
NOT_TRAINED = dict.fromkeys(("iterations", "max_iterations", "evaluated_at"))


@pytest.fixture
def stands(tmp_path):
    """Where a run of a config stands; real data and the planned batch unless changed."""

    def find(config, *options, ranks=8, batch_size=2, row=None, batch_setting=None, **changes):
        task = config.split("/")[1]
        folder = write_metrics(
            tmp_path,
            run_config=config,
            run_options=list(options),
            run_batch_size=batch_size,
            ranks=ranks,
            **{"run_generated_data": False, "evaluated_samples": EVALUATED[task], **changes},
        )
        if row or batch_setting:
            write_benchmark(folder, row=row, task=task, batch_setting=batch_setting)
        return standing(read_record(folder, "run"))

    return find


def test_the_row_itself_with_its_notes(stands):
    found = stands(SN_FPN)
    assert found.row.published.metrics["box AP"] == 39.3
    assert [note.partition(":")[0] for note in found.notes] == ["d6", "d11"]


@pytest.mark.parametrize(
    "option",
    [
        "coco_data.root=/data/coco",
        "work_dir=/runs/1",
        "randomness.seed=3",
        "train_dataloader.num_workers=8",
        "val_dataloader.persistent_workers=False",
        "default_hooks.logger.interval=10",
        "default_hooks.checkpoint.max_keep_ckpts=1",
        "log_processor.window_size=10",
        "env_cfg.dist_cfg.backend=gloo",
        "norm_cfg.type=SN",
    ],
)
def test_options_that_leave_the_training_as_it_is(stands, option):
    assert stands(SN_FPN, option).row is not None


@pytest.mark.parametrize(
    "option",
    [
        "train_cfg.max_epochs=1",
        "norm_cfg.type=GN",
        "optim_wrapper.optimizer.lr=0.1",
        "model.backbone.init_cfg.checkpoint=/weights/other.pth",
        "train_dataloader.batch_size=2",
        "data_root_of_mine=/x",
    ],
)
def test_any_other_option_rules_the_figure_out_and_is_named(stands, option):
    found = stands(SN_FPN, option)
    assert found.row is None
    name = option.replace("/weights/", "")
    assert found.reason == f"differs from the row faster-rcnn_r50-sn_fpn_8xb2-1x_coco: {name}"


def test_generated_data_and_another_batch_rule_it_out(stands):
    assert "generated data" in stands(SN_FPN, run_generated_data=True).reason
    assert "2 × 2 samples instead of 8 × 2" in stands(SN_FPN, ranks=2).reason


def test_a_run_that_has_not_ended_is_not_the_row(stands):
    assert "20 of 40 iterations" in stands(SN_FPN, iterations=20, evaluated_at=20).reason


def test_an_evaluation_needs_no_batch(stands):
    assert stands(SN_FPN, ranks=1, **NOT_TRAINED).row is not None


@pytest.mark.parametrize(
    ("config", "batch_size", "evaluated", "reason"),
    [
        (RESNET, 32, 120, "120 images evaluated instead of 50,000"),
        (SN_FPN, 2, 4999, "4,999 images evaluated instead of 5,000"),
        (I3D, 8, 400, "400 videos evaluated instead of 18,000 to 20,000"),
    ],
)
def test_data_of_another_size_are_not_those_of_the_table(
    stands, config, batch_size, evaluated, reason
):
    own = f"{config.split('/')[1]}_data.root=/data/own"
    found = stands(config, own, batch_size=batch_size, evaluated_samples=evaluated)
    assert found.row is None
    assert found.reason.endswith(f": {reason}")


@pytest.mark.parametrize("evaluated", [18_000, 19_906])
def test_some_videos_may_have_vanished(stands, evaluated):
    assert stands(I3D, batch_size=8, evaluated_samples=evaluated).row is not None


def test_a_training_is_no_evaluation_of_released_weights(stands):
    assert stands(RELEASED, **NOT_TRAINED).row.published.metrics["mIoU"] == 38.72
    found = stands(RELEASED)
    assert found.row is None
    assert found.reason == (
        "differs from the row deeplab_r50-d8-released_8xb2-100k_ade20k: trained; the row is an "
        "evaluation of released weights"
    )


def test_a_config_that_is_in_no_table(stands):
    found = stands("configs/detection/toy/faster-rcnn_r18_fpn_toy.py")
    assert (found.row, found.reason) == (None, "its config is in no published table")


def test_rows_of_one_config_are_told_apart_by_their_options(stands):
    # The row without options is of BN, which the config has anyway.
    assert stands(I3D, "norm_cfg.type=BN", batch_size=8).row.name.endswith(
        "-bn_8xb8-100e_kinetics400"
    )
    assert stands(I3D, batch_size=8).row.published.metrics["top-1"] == 73.47
    found = stands(I3D, "norm_cfg.type=SN", batch_size=8)
    assert found.reason == "the row i3d_r50-32x2-sn_8xb8-100e_kinetics400 has no published figure"
    found = stands(I3D, "norm_cfg.type=IN", batch_size=8)
    assert found.reason.endswith("norm_cfg.type=IN")


@pytest.mark.parametrize(
    ("given", "figure"),
    [({}, 76.4), ({"batch_setting": "8x4"}, 72.7), ({"options": ["batch_setting=8x4"]}, 72.7)],
)
def test_the_batch_setting_tells_rows_apart(stands, given, figure):
    options = given.pop("options", [])
    found = stands(RESNET, *options, batch_size=4 if options or given else 32, **given)
    assert found.row.published.metrics["top-1"] == figure


def test_the_row_that_a_benchmark_means_is_compared_with(stands):
    found = stands(
        RESNET, "train_cfg.max_epochs=1", batch_size=4, row="resnet50-bn_8xb4-100e_imagenet"
    )
    assert found.reason == (
        "differs from the row resnet50-bn_8xb4-100e_imagenet: train_cfg.max_epochs=1; without "
        "batch_setting=8x4"
    )


def test_weights_of_other_runs_of_the_benchmark_are_those_that_the_row_goes_on_from(stands):
    config = "configs/classification/resnet50-snhard_8xb32-100e_imagenet.py"
    row, weights = "resnet50-snhard_8xb32-100e_imagenet", "load_from=/out/seed0/epoch_30.pth"
    assert stands(config, weights, batch_size=32).row is None
    assert stands(config, weights, batch_size=32, row=row).row.name == row
