"""The tables of a task: which runs make a row, what is compared, and what is said of it."""

from __future__ import annotations

import statistics

import pytest

from tasks.report.finding import find_records
from tasks.report.tables import task_tables
from tests.tasks.report.work_dirs import FASTER_RCNN, write_benchmark, write_metrics, write_run

RESNET = "configs/classification/resnet50-bn_8xb32-100e_imagenet.py"
SN_FPN = "configs/detection/faster-rcnn_r50-sn_fpn_8xb2-1x_coco.py"
REAL = {"run_generated_data": False, "run_options": [], "ranks": 8, "evaluated_samples": 5000}


def tables(folder, task="detection"):
    return task_tables(task, find_records([folder]).records)


def rows(table):
    """Lines as dicts by column, of text alone."""
    titles = [column.title for column in table.columns]
    return [
        dict(zip(titles, (cell.text for cell in line.cells), strict=True)) for line in table.lines
    ]


def best(table, title):
    place = [column.title for column in table.columns].index(title)
    return [line.cells[1].text for line in table.lines if line.cells[place].best]


def test_seeds_of_a_norm_make_a_row_with_mean_and_deviation(tmp_path):
    values = [24.0, 25.5, 26.1]
    for seed, value in enumerate(values):
        write_run(tmp_path, "detection", "SN", seed, value, seconds_per_iteration=0.3 + seed / 10,
                  peak_memory_mib=900.0 + seed)  # fmt: skip
    (row,) = rows(tables(tmp_path).results)
    assert row == {
        "Model": "faster-rcnn_r18_fpn_toy",
        "Norm": "SN",
        "box AP": f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}",
        "box AP, published": "–",
        "difference": "–",
        "seeds": "3",
        "images evaluated": "40",
        "processes × samples": "2 × 2",
        "s/iteration": "0.400",
        "peak memory": "902 MiB",
        "hardware": "x86_64",
        "versions": "torch 2.11.0",
    }


def test_one_seed_has_no_deviation(tmp_path):
    write_run(tmp_path, "detection", "SN", 0, 24.0)
    (row,) = rows(tables(tmp_path).results)
    assert row["box AP"] == "24.00"


@pytest.mark.parametrize("value", [float("nan"), None, "0.24", True])
def test_a_figure_that_is_no_number_is_a_dash(tmp_path, value):
    write_metrics(tmp_path, metrics={"coco/bbox_mAP": value, "coco/segm_mAP": 0.2})
    (row,) = rows(tables(tmp_path).results)
    assert "box AP" not in row
    assert (row["mask AP"], row["seeds"]) == ("20.00", "1")


def test_published_and_measured_figures_stand_apart(tmp_path):
    for seed, value in enumerate((39.0, 39.2)):
        write_run(tmp_path, "detection", "SN", seed, value, SN_FPN, **REAL)
    found = tables(tmp_path)
    (row,) = rows(found.results)
    assert row["box AP"].startswith("39.10 ±")
    assert row["box AP, published"] == "39.3"
    assert row["difference"] == "−0.20"
    assert [note.partition(":")[0] for note in found.notes] == ["d6", "d11"]
    assert found.unpublished == ()


def test_why_a_published_figure_is_missing_is_said(tmp_path):
    changes = REAL | {"run_options": ["train_cfg.max_epochs=1"]}
    write_run(tmp_path, "detection", "SN", 0, 20.0, SN_FPN, **changes)
    found = tables(tmp_path)
    assert rows(found.results)[0]["box AP, published"] == "–"
    assert found.unpublished == (
        f"{SN_FPN} (SN): differs from the row faster-rcnn_r50-sn_fpn_8xb2-1x_coco: "
        "train_cfg.max_epochs=1",
    )


def test_published_figures_of_other_metrics_are_named(tmp_path):
    config = "configs/face/modern/arcface_ir50_8xb128-20e_ms1mv2.py"
    write_run(tmp_path, "face", "BN", 0, 99.8, config, run_batch_size=128, **REAL,
              metrics={"lfw/accuracy": 99.8})  # fmt: skip
    found = tables(tmp_path, "face")
    assert rows(found.results)[0]["LFW accuracy, published"] == "–"
    assert found.unpublished == (
        f"{config} (BN): published are other metrics: IJB-C TAR@FAR 1e-4 95.97, "
        "IJB-C TAR@FAR 1e-5 94.07",
    )


def test_configs_of_one_model_with_their_own_norms_are_compared(tmp_path):
    for norm in ("SN", "GN"):
        write_run(tmp_path, "detection", norm, 0, 39.0, SN_FPN.replace("-sn", f"-{norm.lower()}"),
                  **REAL)  # fmt: skip
    (difference,) = rows(tables(tmp_path).differences)
    assert (difference["Norm"], difference["against"]) == ("SN", "GN")


def test_the_best_norm_is_bold_with_six_seeds_and_not_with_five(tmp_path):
    for seed in range(6):
        for norm, gain in (("BN", 0.0), ("SN", 1.0), ("GN", -2.0)):
            write_run(tmp_path, "detection", norm, seed, 24.0 + seed + gain)
    found = tables(tmp_path)
    assert best(found.results, "box AP") == ["SN"]
    statements = {row["Norm"]: row["statement"] for row in rows(found.differences)}
    assert statements == {"SN": "above BN", "GN": "below BN"}
    (tmp_path / "faster-rcnn_r18_fpn_toy_gn_5" / "metrics.json").unlink()
    assert best(tables(tmp_path).results, "box AP") == []


def test_differences_inside_the_noise(tmp_path):
    for seed, gain in enumerate((1.0, -1.0, 0.5, -0.4, 0.2, -0.1)):
        write_run(tmp_path, "detection", "BN", seed, 24.0)
        write_run(tmp_path, "detection", "SN", seed, 24.0 + gain)
    found = tables(tmp_path)
    assert best(found.results, "box AP") == []
    (row,) = rows(found.differences)
    assert (row["pairs"], row["difference"], row["statement"]) == ("6", "+0.03", "within the noise")
    low, high = row["95 % interval"].split(" to ")
    assert (low[0], high[0]) == ("−", "+")


@pytest.mark.parametrize(
    ("seeds", "statement"),
    [
        (1, "one seed: no statement"),
        (3, "3 pairs: no statement (of one sign by chance: 25 %)"),
        (5, "5 pairs: no statement (of one sign by chance: 6.25 %)"),
    ],
)
def test_few_seeds_allow_no_statement(tmp_path, seeds, statement):
    for seed in range(seeds):
        write_run(tmp_path, "detection", "BN", seed, 24.0)
        write_run(tmp_path, "detection", "SN", seed, 34.0 + seed)
    (row,) = rows(tables(tmp_path).differences)
    assert row["statement"] == statement


def test_without_a_common_seed_nothing_is_compared(tmp_path):
    write_run(tmp_path, "detection", "BN", 0, 24.0)
    write_run(tmp_path, "detection", "SN", 1, 30.0)
    (row,) = rows(tables(tmp_path).differences)
    assert (row["pairs"], row["difference"]) == ("0", "–")
    assert row["statement"] == "no common seed: no statement"


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"iterations": 20}, "incomplete: 20 of 40 iterations"),
        ({"evaluated_at": 20}, "incomplete: evaluated at iteration 20 of 40"),
        ({"evaluated_at": None}, "incomplete: not evaluated"),
    ],
)
def test_an_incomplete_run_is_marked_and_compared_with_nothing(tmp_path, changes, mark):
    write_run(tmp_path, "detection", "BN", 0, 24.0)
    write_run(tmp_path, "detection", "SN", 0, 12.0, run_generated_data=False, **changes)
    found = tables(tmp_path)
    assert {line.norm: line.marks for line in found.results.lines} == {
        "BN": ("generated data",),
        "SN": (mark,),
    }
    assert found.differences is None


def test_an_incomplete_run_of_a_row_stands_apart_from_its_mean(tmp_path):
    for seed, changes in enumerate(({}, {}, {"iterations": 20, "evaluated_at": 20})):
        write_run(tmp_path, "detection", "SN", seed, 24.0, **changes)
    assert [row["seeds"] for row in rows(tables(tmp_path).results)] == ["2", "1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"ranks": 4},
        {"run_batch_size": 8},
        {"run_options": ["train_cfg.max_iters=40", "norm_cfg.type=SN"]},
        {"run_generated_data": False},
        {"max_iterations": 80, "iterations": 80, "evaluated_at": 80},
        {"evaluated_samples": 10},
    ],
)
def test_runs_of_other_settings_are_not_compared(tmp_path, changes):
    write_run(tmp_path, "detection", "BN", 0, 24.0)
    write_run(tmp_path, "detection", "SN", 0, 24.0, **changes)
    found = tables(tmp_path)
    assert len(found.results.lines) == 2
    assert found.differences is None


@pytest.mark.parametrize("evaluated", [(120, 5000), (120, 120)])
def test_own_data_sets_of_one_config_stand_apart(tmp_path, evaluated):
    for name, samples in zip(("flowers", "birds"), evaluated, strict=True):
        options = [f"imagenet_data.root=/data/{name}"]
        write_run(tmp_path / name, "classification", "BN", 0, 98.0, RESNET, **REAL
                  | {"run_options": options, "evaluated_samples": samples})  # fmt: skip
    content = find_records([tmp_path])
    assert content.skipped == []
    found = task_tables("classification", content.records)
    assert {group.name for group in found.groups} == {
        f"resnet50_8xb32-100e_imagenet, 8 × 2, imagenet_data.root={name}"
        for name in ("flowers", "birds")
    }


def test_groups_that_differ_in_what_was_evaluated_alone_have_names_of_their_own(tmp_path):
    for samples in (10, 40):
        write_run(tmp_path / str(samples), "detection", "BN", 0, 24.0, evaluated_samples=samples)
    assert [group.name for group in tables(tmp_path).groups] == [
        f"faster-rcnn_r18_fpn_toy, 2 × 2, {samples} images evaluated" for samples in (10, 40)
    ]


def test_the_data_of_the_table_are_one_set_wherever_they_lie(tmp_path):
    for seed, place in enumerate(("/ssd/imagenet", "/nfs/in1k")):
        write_run(tmp_path, "classification", "BN", seed, 76.0, RESNET, **REAL
                  | {"run_options": [f"imagenet_data.root={place}"],
                     "evaluated_samples": 50_000})  # fmt: skip
    assert [row["seeds"] for row in rows(tables(tmp_path, "classification").results)] == ["2"]


def test_a_seed_that_was_never_evaluated_is_of_the_group_of_the_others(tmp_path):
    nothing = {"evaluated_at": None, "evaluated_samples": None, "metrics": {}}
    options = ["imagenet_data.root=/data/flowers"]
    for seed, changes in enumerate(({}, nothing)):
        write_run(tmp_path, "classification", "BN", seed, 98.0, RESNET,
                  **REAL | {"run_options": options} | changes)  # fmt: skip
    (group,) = tables(tmp_path, "classification").groups
    assert [row.first.state for row in group.rows] == ["complete", "not evaluated"]


def test_what_belongs_to_a_norm_does_not_keep_it_from_comparison(tmp_path):
    write_run(tmp_path, "detection", "BN", 0, 24.0)
    options = ["norm_cfg.type=GN", "norm_cfg.num_groups=4",
               "model.backbone.init_cfg.checkpoint=/runs/gn/best.pth"]  # fmt: skip
    write_run(tmp_path, "detection", "GN", 0, 25.0, run_options=options)
    assert len(tables(tmp_path).differences.lines) == 1


def test_weights_of_one_name_in_other_folders_are_one_row(tmp_path):
    for seed in range(2):
        options = [f"model.backbone.init_cfg.checkpoint=/runs/{seed}/pretrained.pth"]
        write_run(tmp_path, "detection", "SN", seed, 25.0, run_options=options)
    assert [row["seeds"] for row in rows(tables(tmp_path).results)] == ["2"]


def test_a_benchmark_names_the_model(tmp_path):
    write_benchmark(write_run(tmp_path, "detection", "SN", 0, 25.0), model="Faster R-CNN")
    found = tables(tmp_path)
    assert rows(found.results)[0]["Model"] == "Faster R-CNN"
    assert found.results.lines[0].cells[0].detail == "faster-rcnn_r18_fpn_toy"


def test_options_of_all_rows_are_said_once(tmp_path):
    common = ["train_cfg._delete_=True", "train_cfg.max_iters=12"]
    for norm in ("BN", "SN"):
        for rate in ("0.01", "0.02"):
            options = [*common, f"norm_cfg.type={norm}", f"optim_wrapper.optimizer.lr={rate}"]
            write_run(tmp_path / rate, "detection", norm, 0, 25.0, run_options=options)
    found = tables(tmp_path)
    assert found.notes == ("All rows: train_cfg._delete_=True train_cfg.max_iters=12",)
    own = [f"optim_wrapper.optimizer.lr={rate}" for rate in ("0.01", "0.02")]
    assert [group.name for group in found.groups] == [
        f"faster-rcnn_r18_fpn_toy, 2 × 2, {option}" for option in own
    ]
    assert [line.cells[0].detail for line in found.results.lines] == [
        f"faster-rcnn_r18_fpn_toy {option}" for option in own for _ in ("BN", "SN")
    ]


def test_options_of_some_rows_stay_with_them(tmp_path):
    write_run(tmp_path, "detection", "BN", 0, 25.0, run_options=["train_cfg.max_iters=12"])
    write_run(tmp_path, "detection", "SN", 0, 25.0)
    found = tables(tmp_path)
    assert found.notes == ()
    assert [line.cells[0].detail for line in found.results.lines] == [
        "faster-rcnn_r18_fpn_toy", "faster-rcnn_r18_fpn_toy train_cfg.max_iters=12",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metrics", "columns"),
    [
        ({"orl/accuracy": 91.0, "orl/accuracy_std": 2.0}, {"accuracy": "91.00"}),
        ({"orl/accuracy": 91.0, "lab/accuracy": 94.0}, {"accuracy": "92.50"}),
        (
            {"orl/accuracy": 91.0, "lab/accuracy": 94.0, "mean/accuracy": 92.5},
            {"mean accuracy": "92.50"},
        ),
        ({"lfw/accuracy": 99.0}, {"LFW accuracy": "99.00"}),
        ({"orl/accuracy": float("nan")}, {"mean accuracy": "–"}),
    ],
)
def test_accuracy_of_sets_of_faces(tmp_path, metrics, columns):
    config = "configs/face/toy/arcface_ir18_toy.py"
    write_run(tmp_path, "face", "SN", 0, 0.0, config, metrics=metrics, evaluated_samples=800)
    (row,) = rows(tables(tmp_path, "face").results)
    assert {title: row[title] for title in row if title.endswith("accuracy")} == columns
    assert row["images evaluated"] == "800"


def test_several_devices_and_versions_are_said(tmp_path):
    write_run(tmp_path, "detection", "BN", 0, 25.0)
    versions = {"python": "3.11.7", "torch": "2.12.0", "normlib": "0.3.0"}
    write_run(tmp_path, "detection", "SN", 0, 25.0, device="H100", memory_of="device",
              versions=versions)  # fmt: skip
    notes = tables(tmp_path).notes
    assert notes == (
        "Several devices: x86_64, H100. Times and memory do not compare.",
        "Several versions of torch: 2.11.0, 2.12.0.",
        "Peak memory is of the device in some rows and of the process in others.",
    )


def test_costs_of_seeds_on_several_devices_stand_side_by_side(tmp_path):
    costs = [("H100", 0.1, 900.0), ("A100", 0.3, 990.0), ("H100", 0.12, 905.0), ("T4", None, 700.0)]
    for seed, (device, seconds, memory) in enumerate(costs):
        write_run(tmp_path, "detection", "BN", seed, 25.0, device=device, memory_of="device",
                  seconds_per_iteration=seconds, peak_memory_mib=memory)  # fmt: skip
    (row,) = rows(tables(tmp_path).results)
    assert row["s/iteration"] == "0.110; 0.300; –"
    assert row["peak memory"] == "905; 990; 700 MiB"
    assert row["hardware"] == "H100; A100; T4"


def test_multi_scale_figures_have_a_column(tmp_path):
    config = "configs/segmentation/toy/deeplab_r18_toy-ade20k.py"
    metrics = {"mIoU": 30.0, "tta/mIoU": 31.5}
    write_run(tmp_path, "segmentation", "SN", 0, 30.0, config, metrics=metrics)
    (row,) = rows(tables(tmp_path, "segmentation").results)
    assert (row["mIoU"], row["multi-scale mIoU"]) == ("30.00", "31.50")


def test_an_evaluation_of_a_released_model_stands_beside_its_row(tmp_path):
    config = "configs/segmentation/paper/deeplab_r50-d8-released_8xb2-100k_ade20k.py"
    nothing = dict.fromkeys(("iterations", "max_iterations", "evaluated_at"))
    write_metrics(tmp_path, run_config=config, run_generated_data=False, run_norm="SN",
                  metrics={"mIoU": 38.7, "tta/mIoU": 39.2}, ranks=1, evaluated_samples=2000,
                  **nothing)  # fmt: skip
    found = tables(tmp_path, "segmentation")
    assert found.results.lines[0].marks == ("evaluation only",)
    assert rows(found.results)[0]["mIoU, published"] == "38.72"
    assert "Evaluation only: how the checkpoint was trained is not in its record." in found.notes


def test_checkpoints_that_were_evaluated_are_rows_of_their_own(tmp_path):
    nothing = dict.fromkeys(("iterations", "max_iterations", "evaluated_at"))
    for name, value in (("epoch_50", 0.3), ("epoch_100", 0.4)):
        write_metrics(tmp_path / name, metrics={"coco/bbox_mAP": value}, **nothing)
    found = tables(tmp_path)
    assert [
        (row["box AP"], row["seeds"], line.cells[0].detail)
        for row, line in zip(rows(found.results), found.results.lines, strict=True)
    ] == [
        ("40.00", "1", "faster-rcnn_r18_fpn_toy in epoch_100"),
        ("30.00", "1", "faster-rcnn_r18_fpn_toy in epoch_50"),
    ]
    assert found.differences is None  # the seed of an evaluation is not that of the training


def test_runs_without_a_seed_are_rows_of_their_own(tmp_path):
    for name in ("one", "two"):
        write_metrics(tmp_path / name, run_seed=None, run_config=FASTER_RCNN)
    assert [row["seeds"] for row in rows(tables(tmp_path).results)] == ["1", "1"]
