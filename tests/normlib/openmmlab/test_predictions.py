"""What --out, --show-dir and --tta-compare leave behind, of a segmentor that is really tested."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
from mmengine.config import Config, ConfigDict

from normlib.openmmlab import commands
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.hooks import PictureHook
from normlib.openmmlab.launch import load_config
from normlib.openmmlab.predictions import draw, write
from tests.normlib.openmmlab import segmentor

NAMES = [f"scene_{k}.png" for k in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data and weights, and what an evaluation without and with augmentation wrote."""
    folder = tmp_path_factory.mktemp("segmentor")
    segmentor.make_data(folder / "data")
    segmentor.make_weights(segmentor.make_config(folder), folder / "weights.pth")
    return folder


@pytest.fixture(scope="module")
def compared(folder):
    return commands.evaluate(
        segmentor.make_config(folder),
        str(folder / "weights.pth"),
        out=str(folder / "maps"),
        show_dir=str(folder / "shown"),
        tta_compare=True,
    )


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


def accuracy(folder: Path, maps: Path) -> float:
    """Percentage of right pixels, of those that have a label."""
    pairs = [(read(folder / "data" / "labels" / name), read(maps / name)) for name in NAMES]
    right = sum(((truth == label) & (truth > 0)).sum() for truth, label in pairs)
    return 100 * right / sum((truth > 0).sum() for truth, _ in pairs)


def drawn_labels(picture: np.ndarray) -> np.ndarray:
    """Labels by the colour that a picture has most of; 0 for none."""
    rgb = picture[..., ::-1].astype(int)
    distance = rgb - np.sort(rgb, axis=-1)[..., 1:2]
    return np.where(distance.max(-1) > 80, distance.argmax(-1) + 1, 0)


class TestLabelMaps:
    @pytest.mark.parametrize(("run", "prefix"), [("", ""), ("tta", "tta/")])
    def test_have_the_labels_and_sizes_of_the_data(self, folder, compared, run, prefix):
        maps = folder / "maps" / run
        for name, size in zip(NAMES, segmentor.SIZES, strict=True):
            labels = read(maps / name)
            assert labels.shape == size
            found = set(np.unique(labels))
            assert len(found) > 1
            assert found <= {1, 2, 3}
        assert accuracy(folder, maps) == pytest.approx(compared[f"{prefix}aAcc"], abs=0.01)


class TestPictures:
    @pytest.mark.parametrize("run", ["", "tta"])
    def test_show_truth_beside_prediction(self, folder, compared, run):
        shown = folder / "shown" / run
        assert sorted(path.name for path in shown.glob("*.png")) == NAMES
        for name, (height, width) in zip(NAMES, segmentor.SIZES, strict=True):
            picture = read(shown / name)
            assert picture.shape == (height, 2 * width, 3)
            labels = drawn_labels(picture)
            truth = read(folder / "data" / "labels" / name)
            # The names of the classes cover some pixels.
            assert (labels[:, :width] == truth).mean() > 0.9
            assert (labels[:, width:] == read(folder / "maps" / run / name)).mean() > 0.9

    def test_nothing_else_is_in_the_folder(self, folder, compared):
        assert {path.name for path in (folder / "shown").iterdir()} == {*NAMES, "tta"}

    def test_images_of_one_name_and_an_interval(self, tmp_path):
        drawn = []
        runner = mock.Mock()
        runner.visualizer.add_datasample = lambda *_, out_file: drawn.append(Path(out_file).name)
        for city in ("ulm", "jena"):
            (tmp_path / city).mkdir()
            cv2.imwrite(str(tmp_path / city / "a.png"), np.zeros((2, 2, 3), np.uint8))
        outputs = [mock.Mock(img_path=str(tmp_path / city / "a.png")) for city in ("ulm", "jena")]
        hook = PictureHook(str(tmp_path / "out"), interval=2)
        for batch in range(3):
            hook.after_test_iter(runner, batch, outputs=outputs)
        assert drawn == ["a.png", "jena_a.png"]


class TestComparison:
    def test_is_that_of_two_runs(self, folder, compared, tmp_path):
        config, weights = segmentor.make_config(folder), str(folder / "weights.pth")
        options = {"experiment_name": "alone"}
        alone = commands.evaluate(
            config, weights, work_dir=str(tmp_path), tta=True, options=options
        )
        assert {f"tta/{name}": value for name, value in alone.items()}.items() <= compared.items()
        assert {"aAcc", "mIoU", "mAcc"} < set(compared)

    def test_each_run_has_its_record(self, folder, compared):
        for run, prefix, model in (("", "", "EncoderDecoder"), ("tta", "tta/", "SegTTAModel")):
            place = folder / "work" / "test" / run
            cfg = Config.fromfile(place / "fcn.py", import_custom_modules=False)
            assert cfg.model.type == model
            metrics = json.loads((place / "metrics.json").read_text())["metrics"]
            assert metrics["mIoU"] == pytest.approx(compared[f"{prefix}mIoU"])
            (log,) = place.glob("2*/*.log")
            assert log.read_text().count("per class results") == 1

    def test_the_last_log_ends_with_the_table(self, folder, compared):
        (log,) = (folder / "work" / "test" / "tta").glob("2*/*.log")
        lines = log.read_text().splitlines()
        head = next(k for k, line in enumerate(lines) if "test-time augmentation:" in line)
        assert lines[head + 1].split() == ["metric", "plain", "augmented"]
        rows = {name: float(plain) for name, plain, _ in map(str.split, lines[head + 3 :])}
        assert rows == pytest.approx({k: compared[k] for k in ("aAcc", "mIoU", "mAcc")}, rel=1e-4)

    @pytest.mark.slow
    def test_by_two_processes(self, folder, compared, rank_pool, tmp_path):
        arguments = (segmentor.make_config(folder), str(folder / "weights.pth"), str(tmp_path))
        for metrics in rank_pool(2).run(compare_on_rank, *arguments):
            assert metrics == pytest.approx(compared)
        for run in ("", "tta"):
            summary = json.loads((tmp_path / "work" / run / "metrics.json").read_text())
            assert summary["ranks"] == 2
            assert sorted(p.name for p in (tmp_path / "maps" / run).glob("*.png")) == NAMES


def compare_on_rank(rank, config, weights, folder):
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    with mock.patch.dict(os.environ, {key: str(value) for key, value in place.items()}):
        return commands.evaluate(
            config,
            weights,
            work_dir=f"{folder}/work",
            out=f"{folder}/maps",
            tta_compare=True,
            launcher="pytorch",
        )


class TestMistakes:
    @pytest.fixture
    def cfg(self, tmp_path):
        return load_config(segmentor.make_config(tmp_path))

    @pytest.mark.parametrize(
        ("out", "evaluator", "message"),
        [
            ("r.json", "IoUMetric", r"r\.json: .*IoUMetric\) writes label maps.*name a folder"),
            ("maps", "mmdet.CocoMetric", r"maps: predictions are written as COCO JSON"),
            ("maps", "CityscapesMetric", None),
            ("maps", "DepthMetric", None),
            ("r.json", "DumpResults", r"DumpResults\) does not write predictions"),
        ],
    )
    def test_out(self, cfg, out, evaluator, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        cfg.test_evaluator = ConfigDict(type=evaluator)
        if message is None:
            write(cfg, out)
            assert cfg.test_evaluator.output_dir == "maps"
        else:
            with pytest.raises(ConfigError, match=message):
                write(cfg, out)
            assert not (tmp_path / "maps").exists()

    def test_a_file_in_place_of_the_folder(self, cfg, tmp_path):
        (tmp_path / "maps").touch()
        with pytest.raises(ConfigError, match=r"--out: the folder .*maps cannot be made"):
            write(cfg, str(tmp_path / "maps"))
        with pytest.raises(ConfigError, match=r"--show-dir: the folder .*maps cannot be made"):
            draw(cfg, tmp_path / "maps")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"default_hooks.visualization": None}, "no hook that draws"),
            ({"visualizer": dict(type="Visualizer")}, r"\(Visualizer\) draws no predictions"),
        ],
    )
    def test_show_dir(self, cfg, options, message, tmp_path):
        cfg.merge_from_dict(options)
        with pytest.raises(ConfigError, match=message):
            draw(cfg, tmp_path / "shown")
        assert not (tmp_path / "shown").exists()

    def test_the_interval_of_the_config_stays(self, cfg, tmp_path):
        cfg.default_hooks.visualization.interval = 5
        draw(cfg, tmp_path / "shown")
        assert cfg.default_hooks.visualization == dict(
            type="PictureHook", out_dir=str(tmp_path / "shown"), interval=5
        )
