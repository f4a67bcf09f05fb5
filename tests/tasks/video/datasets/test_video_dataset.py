"""VideoClassDataset where videos cannot be read, in training and in tests."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import DATASETS, TRANSFORMS

import tasks.video.datasets
import tasks.video.transforms  # noqa: F401
from tasks.data_checks import DatasetError
from tasks.video.decoding import VideoError, open_video

PIPELINE = [
    dict(type="OpenVideo"),
    dict(type="SampleFrames", clip_len=2, num_clips=1),
    dict(type="DecodeFrames"),
    dict(type="PackClips"),
]
OPENED = []


@TRANSFORMS.register_module(force=True)
class OpenRemembered(BaseTransform):
    """Opens a video that the test looks at later."""

    def transform(self, results):
        results["video"] = open_video(results["video_path"])
        OPENED.append(results["video"])
        return results


@TRANSFORMS.register_module(force=True)
class Failing(BaseTransform):
    """A step that goes wrong."""

    def transform(self, results):
        raise ZeroDivisionError("a bug")


@TRANSFORMS.register_module(force=True)
class Patched(BaseTransform):
    """As if frames of videos whose name has an x did not decode."""

    def transform(self, results):
        class Reader:
            stood_in = 3 * ("x" in results["video_path"])

            def close(self):
                pass

        return {"video": Reader(), "label": results["label"]}


def build(root, **kwargs):
    kwargs = dict(pipeline=PIPELINE) | kwargs
    return DATASETS.build(dict(type="VideoClassDataset", data_root=str(root), **kwargs))


@pytest.fixture
def folder(put):
    """Ten videos of each of two classes, the numbers 3 and 14 broken."""
    names = [f"{name}/{number}.mp4" for name in ("a", "b") for number in range(10)]
    return put(*names, broken=(names[3], names[14]))


def labels(dataset):
    return [int(dataset[index]["data_samples"]) for index in range(len(dataset))]


class TestTraining:
    def test_another_video_takes_the_place(self, folder, log):
        dataset = build(folder, max_unreadable=0.1)
        assert dataset.skipped() == []
        first = labels(dataset)
        assert [label for index, label in enumerate(first) if index not in (3, 14)] == (
            9 * [0] + 9 * [1]
        )
        assert dataset[3]["inputs"].shape == (1, 2, 32, 48, 3)
        assert labels(dataset) == first == labels(build(folder, max_unreadable=0.1))
        assert dataset.skipped() == [f"{folder}/a/3.mp4", f"{folder}/b/4.mp4"]
        lines = [text for text in log.messages if "take its place" in text]
        assert [text.count(f"{folder}/a/3.mp4") for text in lines[:2]] == [1, 0]
        assert lines[1].endswith("Others take its place (2 of at most 2)")
        assert len(lines) == 4  # each once, in either data set

    def test_stand_ins_are_spread(self, put):
        names = [f"a/{number:03}.mp4" for number in range(200)]
        broken = names[:40]
        root = put(*names, broken=tuple(broken))
        pipeline = [dict(type="OpenVideo")]
        dataset = build(root, pipeline=pipeline, max_unreadable=0.5)
        taken = []
        for index in range(40):
            item = dataset[index]
            taken.append(item["index"])
            item["video"].close()
        assert min(taken) >= 40
        assert collections.Counter(taken).most_common(1)[0][1] <= 4
        assert np.ptp(taken) > 100

    def test_too_many(self, folder):
        dataset = build(folder, max_unreadable=0.05)
        dataset[3]
        with pytest.raises(
            DatasetError,
            match=r"(?s)b/4\.mp4.* 2 of 20 videos \(10\.00%\) .* the 1 that max_unreadable=0\.05",
        ) as raised:
            dataset[14]
        assert not isinstance(raised.value, VideoError)

    @pytest.mark.parametrize(("share", "enough"), [(0, False), (1e-6, True), (1, True)])
    def test_one_of_few(self, folder, share, enough):
        dataset = build(folder, max_unreadable=share)
        if enough:
            dataset[3]
            assert len(dataset.skipped()) == 1
        else:
            with pytest.raises(DatasetError, match=r"a/3\.mp4.*the 0 that max_unreadable=0 allows"):
                dataset[3]

    def test_none_is_readable(self, put):
        names = ("a/1.mp4", "b/2.mp4", "c/3.mp4")
        root = put(*names, broken=names)
        with pytest.raises(DatasetError, match="none of 3 videos can be read"):
            build(root, max_unreadable=1)[1]

    def test_workers_share_what_they_found(self, folder):
        dataset = build(folder, max_unreadable=0.1)
        loader = torch.utils.data.DataLoader(dataset, batch_size=5, num_workers=2)
        assert sum(len(batch["data_samples"]) for batch in loader) == 20
        assert dataset.skipped() == [f"{folder}/a/3.mp4", f"{folder}/b/4.mp4"]

    def test_the_error_of_a_worker(self, folder):
        loader = torch.utils.data.DataLoader(build(folder, max_unreadable=0), num_workers=1)
        with pytest.raises(DatasetError, match=r"a/3\.mp4") as raised:
            list(loader)
        # Left to the garbage collector, the loader would wait five seconds for its worker.
        raised.value.__traceback__ = None
        del raised

    @pytest.mark.parametrize("share", [-0.1, 1.5])
    def test_no_share(self, folder, share):
        with pytest.raises(DatasetError, match=f"max_unreadable is {share}; it is a share"):
            build(folder, max_unreadable=share)


class TestTesting:
    def test_an_error_that_names_the_key(self, folder):
        dataset = build(folder, test_mode=True, max_unreadable=1)
        assert int(dataset[4]["data_samples"]) == 0
        with pytest.raises(DatasetError, match=r"a/3\.mp4.*allow_unreadable=True"):
            dataset[3]

    def test_another_one_stands_in_without_a_label(self, folder, log):
        steps = [PIPELINE[0], PIPELINE[1] | dict(test_mode=True), *PIPELINE[2:]]
        dataset = build(folder, pipeline=steps, test_mode=True, allow_unreadable=True)
        for _ in range(2):
            expected = 10 * [0] + 10 * [1]
            expected[3] = expected[14] = -1
            assert labels(dataset) == expected
        assert torch.equal(dataset[3]["inputs"], dataset[0]["inputs"])
        lines = [text for text in log.messages if "evaluation leaves it out" in text]
        assert len(lines) == 2
        assert f"{folder}/b/4.mp4" in lines[1]

    def test_the_first_may_be_unreadable_too(self, put):
        names = ("a/1.mp4", "b/2.mp4", "c/3.mp4")
        root = put(*names, broken=names[:2])
        dataset = build(root, test_mode=True, allow_unreadable=True)
        assert labels(dataset) == [-1, -1, 2]
        root = put(*names, broken=names)
        with pytest.raises(DatasetError, match="none of 3 videos can be read"):
            build(root, test_mode=True, allow_unreadable=True)[0]


class TestReaders:
    def test_closed_where_a_step_fails(self, folder):
        steps = [dict(type="OpenRemembered"), dict(type="Failing")]
        OPENED.clear()
        with pytest.raises(ZeroDivisionError):
            build(folder, pipeline=steps)[0]
        (reader,) = OPENED
        with pytest.raises(ValueError, match="is closed"):
            reader.read([0])

    def test_frames_that_others_stand_in_for(self, put, log):
        root = put("a/1.mp4", "a/x.mp4", "a/3.mp4")
        train = build(root, pipeline=[dict(type="Patched")])
        assert [train[index]["label"] for index in range(3)] == [0, 0, 0]
        assert train.incomplete() == [f"{root}/a/x.mp4"]
        assert train.skipped() == []
        assert "stand in" not in log.text
        test = build(root, pipeline=[dict(type="Patched")], test_mode=True)
        for index in (0, 1, 2, 1):
            test[index]
        assert log.text.count(f"{root}/a/x.mp4: 3 of the frames asked for cannot be decoded") == 1

    def test_beyond_the_last(self, folder):
        with pytest.raises(IndexError):
            build(folder)[20]
