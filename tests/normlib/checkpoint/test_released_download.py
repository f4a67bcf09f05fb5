"""Fetching published files, from a real server on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from normlib.checkpoint.released import ReleasedFileError
from normlib.checkpoint.released_download import fetch
from normlib.checkpoint.released_files import FILES, by_path

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()
FORM = """<html><head><title>Google Drive - Virus scan warning</title></head><body>
<form id="download-form" action="/download" method="get">
<input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="{id}"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="a&amp;b"></form></body></html>"""
LINK = '<html><a id="uc-download-link" href="/download?id={id}&amp;confirm=t">anyway</a></html>'


class Server(ThreadingHTTPServer):
    """Serves CONTENT under every id, with the habits that a test gives it."""

    daemon_threads = True
    page = ""  # a page to confirm first
    only_page = ""
    cut = None  # close the connection after so many bytes
    ranges = True
    content = CONTENT
    content_type = "application/octet-stream"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/uc?export=download&id={{id}}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, query = self.server, parse_qs(urlsplit(self.path).query)
        server.asked.append((self.path, self.headers.get("Range")))
        page = server.only_page or ("" if "confirm" in query else server.page)
        if page:
            self.answer(200, page.format(id=query["id"][0]).encode(), "text/html; charset=utf-8")
            return
        if "confirm" in query and server.page and "warned=1" not in self.headers["Cookie"]:
            self.answer(403, b"who are you?", "text/plain")
            return
        start = self.headers.get("Range")
        first = int(start.removeprefix("bytes=").rstrip("-")) if start and server.ranges else 0
        total = len(server.content)
        if first >= total:
            self.answer(416, b"", "text/plain", {"Content-Range": f"bytes */{total}"})
        elif first:
            extent = {"Content-Range": f"bytes {first}-{total - 1}/{total}"}
            self.answer(206, server.content[first:], server.content_type, extent)
        else:
            self.answer(200, server.content, server.content_type)

    def answer(self, status, body, kind, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "warned=1")
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: self.server.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def file():
    return dataclasses.replace(FILES["resnet50_ssn_8x2"], md5=MD5)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "checkpoints" / "ssn.pth"


def names(out):
    return sorted(path.name for path in out.parent.iterdir())


def test_a_file_arrives_whole_and_alone(server, file, out):
    seen = []
    assert fetch(file, out, server.url, progress=lambda *bytes: seen.append(bytes))
    assert out.read_bytes() == CONTENT
    assert names(out) == ["ssn.pth"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert file.drive_id in server.asked[0][0]


@pytest.mark.parametrize("page", [FORM, LINK])
def test_large_files_are_confirmed(page, server, file, out):
    server.page = page
    assert fetch(file, out, server.url)
    assert out.read_bytes() == CONTENT
    assert [path.partition("?")[0] for path, _ in server.asked] == ["/uc", "/download"]
    if page is FORM:
        assert "uuid=a%26b" in server.asked[1][0]


@pytest.mark.parametrize("page", ["", FORM])
def test_a_cut_download_goes_on_where_it_stopped(page, server, file, out):
    server.page, server.cut = page, 300_000
    with pytest.raises(ReleasedFileError, match=r"after 300000 of 1024004 bytes.*same command"):
        fetch(file, out, server.url)
    assert names(out) == ["ssn.pth.part"]
    server.cut = None
    assert fetch(file, out, server.url)
    assert server.asked[-1][1] == "bytes=300000-"
    assert out.read_bytes() == CONTENT
    assert names(out) == ["ssn.pth"]


def test_a_server_that_cannot_go_on_starts_again(server, file, out):
    out.parent.mkdir()
    out.with_name("ssn.pth.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert fetch(file, out, server.url)
    assert out.read_bytes() == CONTENT


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more"])
def test_a_part_that_is_whole_or_longer(part, server, file, out):
    out.parent.mkdir()
    out.with_name("ssn.pth.part").write_bytes(part)
    assert fetch(file, out, server.url)
    assert out.read_bytes() == CONTENT


def test_another_md5_is_refused(server, file, out):
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(ReleasedFileError, match=rf"is refused: its MD5 sum .*published one {MD5}"):
        fetch(file, out, server.url)
    assert names(out) == ["ssn.pth.rejected"]


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream"])
def test_a_page_in_place_of_the_file_is_refused(kind, server, file, out):
    page = "<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"
    if kind == "text/html":
        server.only_page = page
        wanted = "Quota exceeded'.*try again later.*By hand"
    else:
        server.content, wanted = page.encode(), "does not begin as a PyTorch file"
    with pytest.raises(ReleasedFileError, match=wanted):
        fetch(dataclasses.replace(file, md5=None), out, server.url)
    assert not out.exists()


def test_a_page_that_never_ends(server, file, out):
    server.only_page = FORM
    with pytest.raises(ReleasedFileError, match="Virus scan warning"):
        fetch(file, out, server.url)
    assert len(server.asked) == 2


def test_without_a_network_it_says_what_to_do(server, file, out):
    server.shutdown()
    server.server_close()
    with pytest.raises(ReleasedFileError) as caught:
        fetch(file, out, server.url)
    for part in (file.page, str(out), MD5, "CC BY-NC 4.0", "Connection refused"):
        assert part in str(caught.value)


def test_what_is_there_stays(server, file, out):
    out.parent.mkdir()
    out.write_bytes(CONTENT)
    assert not fetch(file, out, server.url)
    assert server.asked == []
    out.write_bytes(b"mine")
    with pytest.raises(ReleasedFileError, match=r"ssn\.pth exists, and is not the published"):
        fetch(file, out, server.url)
    assert not fetch(dataclasses.replace(file, md5=None), out, server.url)
    assert fetch(file, out, server.url, force=True)
    assert out.read_bytes() == CONTENT


def test_a_folder_is_no_file(server, file, tmp_path):
    with pytest.raises(ReleasedFileError, match="is a folder"):
        fetch(file, tmp_path, server.url)


def test_every_file_is_another_one():
    ids = [file.drive_id for file in FILES.values()]
    assert len(set(ids)) == len(ids) == 33
    assert {file.task for file in FILES.values()} == {
        "classification",
        "detection",
        "segmentation",
        "face",
    }


def test_configs_find_their_files_in_the_list(pytestconfig):
    """Every weight file that a config reads can be fetched."""
    import re

    texts = [path.read_text() for path in (pytestconfig.rootpath / "configs").rglob("*.py")]
    paths = {path for text in texts for path in re.findall(r'"(checkpoints/[^"]+)"', text)}
    assert len(paths) >= 3
    assert [path for path in sorted(paths) if by_path(path) is None] == []
