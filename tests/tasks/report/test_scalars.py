"""Curves from vis_data/scalars.json: of resumed trainings, by epochs, and of damaged files."""

from __future__ import annotations

import json

import pytest

from tasks.report.records import read_record
from tasks.report.scalars import Curve, read_curves
from tasks.task_metrics import TASK_METRICS
from tests.tasks.report.work_dirs import write_metrics, write_scalars

BOX_AP = TASK_METRICS["detection"][0]
KEY = BOX_AP.key


@pytest.fixture
def run(tmp_path):
    return write_metrics(tmp_path / "run")


def curves(run):
    return read_curves(read_record(run, "run"), BOX_AP)


def test_loss_and_metric_over_iterations(run):
    write_scalars(run, {10: 3.0, 20: 2.0, 40: 1.0}, {20: {KEY: 0.1}, 40: {KEY: 0.25}})
    loss, metric = curves(run)
    assert (loss.iterations, loss.values) == ((10, 20, 40), (3.0, 2.0, 1.0))
    assert (metric.iterations, metric.values) == ((20, 40), (10.0, 25.0))


def test_of_a_resumed_training_the_later_folder_counts(run):
    write_scalars(run, {10: 3.0, 20: 2.5, 30: 9.0}, {20: {KEY: 0.1}, 30: {KEY: 0.9}})
    write_scalars(run, {25: 2.0, 40: 1.0}, {40: {KEY: 0.25}}, started="20261128_140000")
    loss, metric = curves(run)
    assert (loss.iterations, loss.values) == ((10, 20, 25, 40), (3.0, 2.5, 2.0, 1.0))
    assert metric.iterations == (20, 40)


def test_evaluations_that_are_counted_in_epochs_stand_at_their_iterations(run):
    folder = run / "20261128_130000" / "vis_data"
    folder.mkdir(parents=True)
    lines = [
        '{"loss": 2.0, "epoch": 1, "iter": 15, "step": 15}',
        f'{{"{KEY}": 0.1, "step": 1}}',
        '{"loss": 1.0, "epoch": 2, "iter": 35, "step": 35}',
        f'{{"{KEY}": 0.2, "step": 2}}',
    ]
    (folder / "scalars.json").write_text("\n".join(lines))
    assert curves(run)[1].iterations == (20, 40)


@pytest.mark.parametrize("by_epoch", [True, False])
@pytest.mark.parametrize("stops", [(5, 10), (2, 5, 10)])
def test_points_of_a_resumed_training_stand_at_their_iterations(tmp_path, by_epoch, stops):
    run = write_metrics(tmp_path / "run", iterations=1000, max_iterations=1000, evaluated_at=1000)
    begin = 1
    for place, stop in enumerate(stops):
        lines = []
        for epoch in range(begin, stop + 1):
            lines += [{"loss": 1.0, "step": 100 * epoch - 50}, {"loss": 1.0, "step": 100 * epoch}]
            lines.append({KEY: epoch / 100, "step": epoch if by_epoch else 100 * epoch})
        folder = run / f"20261128_13000{place}" / "vis_data"
        folder.mkdir(parents=True)
        (folder / "scalars.json").write_text("\n".join(map(json.dumps, lines)))
        begin = stop + 1
    metric = curves(run)[1]
    assert metric.iterations == tuple(range(100, 1001, 100))
    assert metric.values == pytest.approx(range(1, 11))


def test_a_resumed_training_that_has_not_been_evaluated_again(tmp_path):
    run = write_metrics(tmp_path / "run", iterations=20, evaluated_at=20)
    write_scalars(run, {10: 3.0, 20: 2.0}, {20: {KEY: 0.1}})
    write_scalars(run, {30: 1.5}, started="20261128_140000")
    assert curves(run)[1] == Curve((20,), (10.0,))


def test_evaluations_without_a_count_stand_at_the_last_loss(run):
    folder = run / "20261128_130000" / "vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text(
        f'{{"loss": 2.0, "step": 38}}\n{{"{KEY}": 0.1, "step": 0}}'
    )
    assert curves(run)[1].iterations == (38,)


def test_lines_that_are_damaged_or_of_other_things_are_left_out(run):
    folder = run / "20261128_130000" / "vis_data"
    folder.mkdir(parents=True)
    lines = [
        '{"ratios/backbone/mean/in": 0.3, "step": 5}',
        '{"loss": NaN, "step": 8}',
        '{"loss": "high", "step": 9}',
        "[1]",
        '{"loss": 2.0, "step": 10}',
        '{"loss": 1.0, "st',
    ]
    (folder / "scalars.json").write_text("\n".join(lines))
    assert curves(run) == (Curve((10,), (2.0,)), Curve((), ()))


def test_an_evaluation_in_the_same_folder_is_no_training(run):
    write_scalars(run, {10: 3.0})
    folder = run / "20261128_150000" / "vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text(f'{{"{KEY}": 0.3, "step": 0}}\n')
    assert curves(run) == (Curve((10,), (3.0,)), Curve((), ()))


def test_without_a_file_the_curves_are_empty(run):
    assert curves(run) == (Curve((), ()), Curve((), ()))


def test_long_curves_are_thinned_to_means_of_neighbours():
    curve = Curve(tuple(range(1, 11)), tuple(float(k) for k in range(1, 11)))
    assert curve.thinned(10) is curve
    assert curve.thinned(4) == Curve((3, 6, 9, 10), (2.0, 5.0, 8.0, 10.0))
