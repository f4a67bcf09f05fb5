"""Which videos VideoClassDataset finds, and what it says about annotations that are wrong."""

from __future__ import annotations

import pytest
from mmengine.registry import DATASETS

import tasks.video.datasets  # noqa: F401
from tasks.data_checks import DatasetError


def build(root, **kwargs):
    return DATASETS.build(dict(type="VideoClassDataset", data_root=str(root), **kwargs))


def found(dataset, root):
    items = [dataset[index] for index in range(len(dataset))]
    assert [item["index"] for item in items] == list(range(len(items)))
    return [(item["video_path"].removeprefix(f"{root}/"), item["label"]) for item in items]


class TestClassFolders:
    def test_files_and_folders_of_frames(self, put, put_frames):
        put("run/b.mp4", "run/more/a.WEBM", "jump/c.avi", "jump/.hidden.mp4")
        root = put_frames("jump/d", "run/parts/e")
        (root / "run/notes.txt").touch()
        (root / "jump/d/clip.mp4").touch()  # beside images
        dataset = build(root)
        assert dataset.metainfo == {"classes": ("jump", "run")}
        assert dataset.label_unit == "videos"
        assert found(dataset, root) == [
            ("jump/c.avi", 0),
            ("jump/d", 0),
            ("run/b.mp4", 1),
            ("run/more/a.WEBM", 1),
            ("run/parts/e", 1),
        ]

    def test_in_a_folder_of_the_root(self, put):
        root = put("train/a/1.mp4")
        assert found(build(root, data_prefix="train"), root) == [("train/a/1.mp4", 0)]

    def test_mistakes(self, put, put_frames):
        root = put("a/1.mp4", "b/notes.txt", "c/2.jpg")
        with pytest.raises(
            DatasetError, match=r"(?s)2 of 3 class folders hold no video \(\.mp4.*b/.*c/"
        ):
            build(root)
        with pytest.raises(DatasetError, match=r"(?s)videos, .*x', does not exist.*kinetics_data"):
            build(root, data_prefix="x")
        with pytest.raises(DatasetError, match=r"no sub-folders; videos lie in"):
            build(root, data_prefix="a")

    def test_other_classes_than_those_of_the_training(self, put):
        root = put("a/1.mp4", "b/2.mp4")
        with pytest.raises(DatasetError, match=r"only here \['b'\], only there \['c'\]"):
            build(root, classes=["a", "c"])
        assert len(build(root, classes=["a", "b"])) == 2


class TestLists:
    def listed(self, root, text, **kwargs):
        (root / "list.txt").write_text(text)
        return build(root, ann_file="list.txt", **kwargs)

    def test_videos(self, put):
        root = put("v/1.mp4", "v/my clip 7.mp4")
        text = "1.mp4 2\n\nmy clip 7.mp4 0\n"
        dataset = self.listed(root, text, data_prefix="v")
        assert found(dataset, root) == [("v/1.mp4", 2), ("v/my clip 7.mp4", 0)]
        assert dataset.metainfo == {"classes": ("0", "1", "2")}

    def test_folders_of_frames(self, put_frames):
        root = put_frames("a b/c", "d", count=4)
        dataset = self.listed(root, "a b/c 4 1\nd/ 5 0\n")
        assert found(dataset, root) == [("a b/c", 1), ("d", 0)]
        assert dataset.examine(0).problems == ()
        assert dataset.examine(1).problems == (f"{root}/d has 4 frames, but its list says 5",)

    def test_an_absolute_path(self, put):
        root = put("1.mp4")
        with pytest.raises(DatasetError, match=r"(?s)1 paths lead out .*line 1: '.*/1\.mp4'"):
            self.listed(root, f"{root}/1.mp4 0\n", data_prefix="x")

    def test_names_of_classes(self, put):
        root = put("1.mp4")
        assert self.listed(root, "1.mp4 0", classes=["a", "b"]).metainfo["classes"] == ("a", "b")
        (root / "classes.txt").write_text("jump\nrun\n")
        assert self.listed(root, "1.mp4 1").metainfo["classes"] == ("jump", "run")
        with pytest.raises(DatasetError, match=r"classes\.txt has other classes .*\['jump', 'run"):
            self.listed(root, "1.mp4 1", classes=["a", "b"])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1.mp4 0\n\n9.mp4 0\n8.mp4 0", r"(?s)2 of 3 videos .*allow_missing=True.*3: '9\.mp4'"),
            ("1.mp4\n1.mp4 x\n", r"(?s)2 lines are not of the form 'PATH LABEL'.*line 1: '1\.mp4'"),
            (f"1.mp4 {10**30}\n", r"(?s)1 lines are not of the form.*line 1"),
            ("1.mp4 -1\n", r"(?s)1 lines are not of the form.*line 1"),
            ("1.mp4 \u0663\n", r"(?s)1 lines are not of the form.*line 1"),
            ("1.mp4 2\n1.mp4 5\n", r"(?s)2 labels are out of range: .*0 to 1.*line 2: .* label 5"),
            ("\n\n", r"list\.txt lists no videos"),
        ],
    )
    def test_mistakes(self, put, text, message):
        with pytest.raises(DatasetError, match=message):
            self.listed(put("1.mp4"), text, classes=["a", "b"])

    def test_tabs_and_a_byte_order_mark(self, put):
        root = put("1 a.mp4", "2.mp4")
        dataset = self.listed(root, "\ufeff1 a.mp4\t0\n 2.mp4  1 \n", classes=["a", "b"])
        files = [dataset.examine(k).file for k in (0, 1)]
        assert [file.rpartition("/")[2] for file in files] == ["1 a.mp4", "2.mp4"]

    def test_no_file(self, tmp_path):
        with pytest.raises(DatasetError, match=r"x\.txt cannot be read"):
            build(tmp_path, ann_file="x.txt")
        (tmp_path / "x.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DatasetError, match=r"x\.txt cannot be read"):
            build(tmp_path, ann_file="x.txt")

    def test_a_video_named_twice(self, put, log):
        root = put("1.mp4", "2.mp4")
        dataset = self.listed(root, "1.mp4 0\n2.mp4 0\n1.mp4 1\n")
        assert len(dataset) == 3
        assert "list.txt names 1 video more than once, each time a sample: 1.mp4" in log.text

    def test_missing_videos_that_may_be(self, put, log):
        root = put("1.mp4", "3.mp4")
        text = "1.mp4 0\n2.mp4 1\n3.mp4 2\n"
        dataset = self.listed(root, text, allow_missing=True)
        assert found(dataset, root) == [("1.mp4", 0), ("3.mp4", 2)]
        assert dataset.metainfo == {"classes": ("0", "1", "2")}
        assert f"2 of 3 videos of {root}/list.txt are here" in log.text
        assert "2 videos of 3 classes, 1 of them without a video" in log.text
        with pytest.raises(DatasetError, match=r"none of the 1 videos .* line 1: '2\.mp4'"):
            self.listed(root, "2.mp4 1\n", allow_missing=True)


HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


class TestKineticsCsv:
    def listed(self, root, rows, header=HEADER, **kwargs):
        (root / "list.csv").write_text(header + rows)
        return build(root, ann_file="list.csv", data_prefix="v", **kwargs)

    def test_where_videos_lie(self, put, put_frames):
        put(
            "v/-a_1_000003_000013.mp4",
            "v/ski jump/b_000100_000110.webm",
            "v/air_drumming/c_000000_000010.mkv",
        )
        root = put_frames("v/ski_jump/d_000001_000011")
        rows = (
            '"ski jump",-a_1,3,13,train,0\nski jump,b,100,110,train,0\n\n'
            "air drumming,c,0,10,train,1\nski jump,d,1.0,11.0,train,0\n"
        )
        dataset = self.listed(root, rows)
        assert dataset.metainfo == {"classes": ("air drumming", "ski jump")}
        assert found(dataset, root) == [
            ("v/-a_1_000003_000013.mp4", 1),
            ("v/ski jump/b_000100_000110.webm", 1),
            ("v/air_drumming/c_000000_000010.mkv", 0),
            ("v/ski_jump/d_000001_000011", 1),
        ]

    def test_labels_count_in_the_classes_of_the_training(self, put):
        root = put("v/a_000000_000010.mp4")
        dataset = self.listed(root, "run,a,0,10,val,0\n", classes=["jump", "run", "ski"])
        assert found(dataset, root) == [("v/a_000000_000010.mp4", 1)]
        with pytest.raises(
            DatasetError, match=r"(?s)1 labels are none of the 2 classes.*line 2: 'run'"
        ):
            self.listed(root, "run,a,0,10,val,0\n", classes=["jump", "ski"])

    def test_missing_videos(self, put, log):
        root = put("v/a_000000_000010.mp4")
        rows = "run,a,0,10,val,0\nrun,b,0,10,val,0\n"
        with pytest.raises(DatasetError, match=r"(?s)1 of 2 videos .*line 3: 'b_000000_000010'"):
            self.listed(root, rows)
        assert len(self.listed(root, rows, allow_missing=True)) == 1
        assert f"1 of 2 videos of {root}/list.csv are here" in log.text

    def test_a_video_named_twice(self, put, log):
        root = put("v/a_000000_000010.mp4")
        assert len(self.listed(root, 2 * "run,a,0,10,val,0\n")) == 2
        assert "names 1 video more than once" in log.text

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("youtube_id,time_start,time_end,split\na,0,10,test\n", "test lists of Kinetics"),
            (f"{HEADER},a,0,10,test\n", r"(?s)1 lines have no label.*line 2: ',a,0,10,test'"),
            (
                f"{HEADER}run,a,0\nrun,,0,1\nrun,a,-1,1\nrun,a,x,1\n",
                r"(?s)4 lines have not a youtube_id and .*line 2",
            ),
            ("youtube_id,label\n", r"(?s)columns \['youtube_id', 'label'\], but lacks \['time_st"),
            (HEADER, r"list\.csv lists no videos"),
            (
                "run,a,0,10,val,0\n",
                r"(?s)not of the form 'PATH LABEL'.* begins with the columns l",
            ),
        ],
    )
    def test_mistakes(self, tmp_path, text, message):
        with pytest.raises(DatasetError, match=message):
            self.listed(tmp_path, text, header="")

    def test_a_list_may_be_called_csv(self, put):
        root = put("v/1.mp4")
        assert found(self.listed(root, "1.mp4 0\n", header=""), root) == [("v/1.mp4", 0)]
