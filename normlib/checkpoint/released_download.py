"""Fetching a published file: resumed where it was cut off, and checked before it is in place."""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.parse
from collections.abc import Callable
from html.parser import HTMLParser
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from normlib.checkpoint.download import DownloadError, Session, begins_as_weights, blocks
from normlib.checkpoint.integrity import DamagedFileError, check_whole
from normlib.checkpoint.released import ReleasedFileError
from normlib.checkpoint.released_files import LICENCE, ReleasedFile

URL = "https://drive.usercontent.google.com/download?id={id}&export=download"
_BLOCK = 1 << 18

Progress = Callable[[int, int | None], None]


def fetch(
    file: ReleasedFile,
    out: Path,
    url: str = URL,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> bool:
    """Download a published file.

    What has arrived stays beside ``out`` with the suffix ``.part`` until it is whole; a further
    call goes on from there. A file whose MD5 sum is not the published one, or which is not whole,
    ends in ``.rejected``.

    Args:
        file: What to fetch.
        out: Where it goes; folders are made.
        url: Address with ``{id}`` in place of the id.
        force: Fetch and replace a file that is there already.
        progress: Called with the bytes that have arrived, and all bytes if the server tells.

    Returns:
        False if the file was there already.

    Raises:
        ReleasedFileError: Saying what to do by hand.
    """
    if out.is_dir():
        raise ReleasedFileError(f"{out} is a folder; name a file")
    if out.exists() and not force:
        _check_present(file, out)
        return False
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _receive(Session(), url.format(id=file.drive_id), file, part, out, progress)
        _check_arrived(file, part, out)
        part.replace(out)
    except DownloadError as error:
        raise ReleasedFileError(
            f"{file.name} could not be fetched: {error}. What came stays in {part}, and the same "
            f"command goes on from there. {by_hand(file, out)}"
        ) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise ReleasedFileError(
            f"{file.name} could not be fetched from {url.format(id=file.drive_id)} ({reason}). "
            + by_hand(file, out)
        ) from error
    except OSError as error:
        raise ReleasedFileError(f"{out} cannot be written: {error}") from error
    return True


def by_hand(file: ReleasedFile, out: Path) -> str:
    """How to put a file in place without this program."""
    check = f", and compare its MD5 sum with {file.md5}" if file.md5 else ""
    return (
        f"By hand: open {file.page} in a browser, save the file as {out.absolute()}{check}. "
        f"It is under {LICENCE}"
    )


def md5_of(path: Path) -> str:
    """MD5 sum of a file, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _receive(
    session: Session, url: str, file: ReleasedFile, part: Path, out: Path, progress: Progress
) -> None:
    start = part.stat().st_size if part.exists() else 0
    response = _response(session, url, start, file, out)
    if response is None:
        return
    with response:
        start, total = _extent(response, start)
        with part.open("ab" if start else "wb") as stream:
            done = start
            progress(done, total)
            for block in blocks(response, done=done):
                stream.write(block)
                done += len(block)
                progress(done, total)
    if total is not None and done < total:
        raise ReleasedFileError(
            f"{file.name}: the connection ended after {done} of {total} bytes. The same command "
            f"goes on from there ({part})"
        )


def _response(
    session: Session, url: str, start: int, file: ReleasedFile, out: Path
) -> HTTPResponse | None:
    """The file, after the page that asks to confirm a large one; None if all of it is here."""
    for _ in range(2):
        try:
            response = session.get(url, start)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not start:
                raise
            if error.headers.get("Content-Range") == f"bytes */{start}":
                return None
            response = session.get(url, 0)
        if "text/html" not in response.headers.get("Content-Type", ""):
            return response
        with response:
            page = response.read(1 << 20).decode("utf-8", "replace")
        confirmed = _confirmation(page, response.url)
        if confirmed is None:
            break
        url = confirmed
    raise ReleasedFileError(
        f"{file.name}: instead of the file came a page{_title(page)}. Google Drive does so where "
        f"too many have fetched a file, or it has moved; try again later. {by_hand(file, out)}"
    )


def _extent(response: HTTPResponse, start: int) -> tuple[int, int | None]:
    """From which byte a response goes on, and the size of the whole file if known."""
    given = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if response.status == 206 and given is not None and int(given[1]) == start:
        return start, int(given[2])
    length = response.headers.get("Content-Length")
    return 0, int(length) if length is not None and response.status == 200 else None


class _Form(HTMLParser):
    """The form or the link that confirms a download."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.link: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and "download" in given.get("action", "") + given.get("id", ""):
            self.action = given.get("action")
        elif tag == "input" and given.get("type") == "hidden" and "name" in given:
            self.fields[given["name"]] = given.get("value", "")
        elif tag == "a" and "confirm=" in given.get("href", ""):
            self.link = given["href"]


def _confirmation(page: str, url: str) -> str | None:
    form = _Form()
    form.feed(page)
    if form.action is not None:
        target = urllib.parse.urlsplit(urllib.parse.urljoin(url, form.action))
        fields = {**dict(urllib.parse.parse_qsl(target.query)), **form.fields}
        return target._replace(query=urllib.parse.urlencode(fields)).geturl()
    return urllib.parse.urljoin(url, form.link) if form.link is not None else None


def _title(page: str) -> str:
    found = re.search(r"<title[^>]*>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    return f" with the title {' '.join(found[1].split())!r}" if found else ""


def _check_present(file: ReleasedFile, out: Path) -> None:
    if file.md5 is not None and (found := md5_of(out)) != file.md5:
        raise ReleasedFileError(
            f"{out} exists, and is not the published {file.name}: its MD5 sum is {found}, the "
            f"published one {file.md5}. Move it away, or replace it with --force"
        )


def _check_arrived(file: ReleasedFile, part: Path, out: Path) -> None:
    with part.open("rb") as stream:
        start = stream.read(64)
    problem = ""
    if not begins_as_weights(start):
        problem = f"it does not begin as a PyTorch file does, but with {start[:24]!r}"
    elif file.md5 is not None and (found := md5_of(part)) != file.md5:
        problem = f"its MD5 sum is {found}, the published one {file.md5}"
    elif file.md5 is None:
        try:
            check_whole(part)
        except DamagedFileError as error:
            problem = str(error)
    if problem:
        rejected = out.with_name(out.name + ".rejected")
        part.replace(rejected)
        raise ReleasedFileError(
            f"{file.name} is refused: {problem}. What came is {rejected}. {by_hand(file, out)}"
        )
