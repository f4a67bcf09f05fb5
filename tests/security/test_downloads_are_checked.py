"""What is downloaded is what was meant, whole, and in no other place."""

from __future__ import annotations

import hashlib
import io

import pytest
import safetensors.torch
import torch
from mmengine.runner.checkpoint import CheckpointLoader

import normlib.openmmlab  # noqa: F401
from normlib.checkpoint import download
from normlib.checkpoint.download import DownloadError, check_address, fetch, file_name
from normlib.openmmlab.errors import CheckpointError
from tests.file_server import file_server


def saved() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(1000.0)}, buffer)
    return buffer.getvalue()


CONTENT = saved()
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with file_server() as server:
        server.content = CONTENT
        yield server


@pytest.fixture
def out(tmp_path):
    path = tmp_path / "cache" / "model.pth"
    path.parent.mkdir()
    path.write_bytes(b"the earlier file")
    yield path
    assert [entry.name for entry in path.parent.iterdir()] == ["model.pth"]


@pytest.mark.parametrize("name", ["model.pth", f"model-{SUM[:8]}.pth", f"model-{SUM}.pth"])
def test_a_file_with_its_hash_or_without(name, server, out):
    seen = []
    fetch(server.url(name), out, lambda *told: seen.append(told))
    assert out.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_date_in_the_name_is_no_hash(server, out):
    fetch(server.url("model-20200504.pth"), out)
    assert out.read_bytes() == CONTENT


def damaged(at: int) -> bytes:
    return CONTENT[:at] + bytes([CONTENT[at] ^ 1]) + CONTENT[at + 1 :]


@pytest.mark.parametrize(
    ("name", "content", "announced", "said"),
    [
        ("m-0123abcd.pth", CONTENT, None, rf"begins with {SUM[:8]}, its name says 0123abcd"),
        (f"m-{SUM[:8]}.pth", damaged(2000), None, "SHA-256 sum"),
        ("m.pth", damaged(2000), None, "is damaged: its record"),
        ("m.pth", CONTENT[:-100], None, "cut short or damaged"),
        ("m.pth", CONTENT[:-100], len(CONTENT), "bytes arrived|connection ended"),
        ("m.pth", CONTENT[:-100], -1, "cut short or damaged"),
        ("m.pth", b"<html>not found</html>", None, "does not begin as a PyTorch file"),
        ("m.pth", b"", None, "does not begin as a PyTorch file"),
    ],
)
def test_what_came_is_not_the_file(name, content, announced, said, server, out):
    server.content, server.announced = content, announced
    with pytest.raises(DownloadError, match=said) as caught:
        fetch(server.url(name), out)
    assert str(out) in str(caught.value)
    assert out.read_bytes() == b"the earlier file"


def test_safetensors_that_are_cut(server, tmp_path):
    server.content = safetensors.torch.save({"weight": torch.ones(100)})[:-8]
    with pytest.raises(DownloadError, match="its header tells of"):
        fetch(server.url("m.safetensors"), tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("announced", [None, -1, 10])
def test_a_file_that_is_too_large(announced, server, out):
    server.announced = announced
    with pytest.raises(DownloadError, match=r"up to 9 are fetched"):
        fetch(server.url("m.pth"), out, most_bytes=9)
    assert out.read_bytes() == b"the earlier file"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/m.pth",
        "http://127.0.0.1.example.com/m.pth",
        "http://localhost@example.com/m.pth",
        "ftp://example.com/m.pth",
        "file:///etc/passwd",
        "https:///m.pth",
        "m.pth",
    ],
)
def test_addresses_that_are_not_protected(url, out):
    with pytest.raises(DownloadError, match="Take an address that begins with https://"):
        fetch(url, out)
    assert out.read_bytes() == b"the earlier file"


def test_addresses_that_are():
    check_address("https://example.com/m.pth")
    check_address("http://localhost:8000/m.pth")
    check_address("http://[::1]:8000/m.pth")


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/m.pth", "http://a.test/"]
)
def test_redirections_to_where_it_is_not(target, server, out):
    server.redirect = target
    with pytest.raises(DownloadError, match=r"is not (fetched|allowed)"):
        fetch(server.url("m.pth"), out)
    assert len(server.asked) == 1


def test_an_encrypted_address_leads_to_no_other(server):
    request = download.urllib.request.Request("https://example.com/m.pth")
    with pytest.raises(DownloadError, match="is not followed"):
        download._Redirects().redirect_request(request, None, 302, "", {}, server.url("m.pth"))


@pytest.mark.parametrize("path", ["", "a/", "a/..", "..", "a/%2e%2e/..", "a\\..\\b.pth", "a/b\x07"])
def test_addresses_that_name_no_file(path):
    with pytest.raises(DownloadError, match="names no file"):
        file_name(f"https://example.com/{path}")


@pytest.mark.parametrize("path", ["..%2f..%2fm.pth", "../../m.pth?x=/../y", "m.pth#../z"])
def test_a_file_stays_in_the_cache(path, server, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    loaded = CheckpointLoader.load_checkpoint(server.url(path), "cpu")
    assert torch.equal(loaded["weight"], torch.arange(1000.0))
    (kept,) = (tmp_path / "hub" / "checkpoints").iterdir()
    assert kept.name in ("m.pth", "..%2f..%2fm.pth")
    assert [entry.name for entry in tmp_path.iterdir()] == ["hub"]


def test_weights_of_a_config_are_not_taken_from_an_open_address(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(CheckpointError, match="http does not protect a file on its way"):
        CheckpointLoader.load_checkpoint("http://example.com/m.pth", "cpu")
    assert list(tmp_path.rglob("*.pth")) == []
