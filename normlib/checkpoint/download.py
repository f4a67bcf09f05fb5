"""Files from the web: fetched over an encrypted connection, and checked before they are in place.

The one way in which this project downloads: :func:`fetch` for addresses of weights,
``released_download.py`` for Google Drive.
"""

from __future__ import annotations

import hashlib
import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPMessage, HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import IO

from normlib.checkpoint.integrity import DamagedFileError, check_whole
from normlib.checkpoint.saving import replacing

MOST_BYTES = 16 << 30
_BLOCK = 1 << 18
_TIMEOUT = 60
_LOCAL = ("localhost", "127.0.0.1", "::1")
# As torchvision and OpenMMLab name their files: NAME-0676ba61.pth
_HASH = re.compile(r"-([0-9a-f]{8,64})\.[A-Za-z]+$")
_DATE = re.compile(r"20[0-9]{2}[01][0-9][0-3][0-9]")
# First bytes of a zip file, and of pickles of protocol 2 and later, torch's older form.
_TORCH = (b"PK", b"\x80")

Progress = Callable[[int, int | None], None]


class DownloadError(ValueError):
    """A file cannot be fetched, or what came is not it."""


def fetch(
    url: str,
    out: Path,
    progress: Progress = lambda done, total: None,
    most_bytes: int = MOST_BYTES,
) -> None:
    """Download weights. The file is in its place when it is whole and checked, or not at all.

    Compared are the length that the server announces, the hash in the name where there is one
    (``resnet18-f37072fd.pth``: the first digits of the SHA-256 sum) and, without one, the checksums
    in the file.

    Args:
        url: Address; of another machine only ``https``.
        out: The file; folders are made.
        progress: Called with the bytes that have arrived, and all bytes if the server tells.
        most_bytes: A larger file is refused.

    Raises:
        DownloadError: It says where to put the file by hand.
        OSError: The disk refuses.
    """
    by_hand = f"Fetch it by hand, check it, and put it at {out}, or name a local file"
    check_address(url)
    try:
        response = Session().get(url)
    except (OSError, HTTPException) as error:  # a URLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"could not download {url} ({reason}). {by_hand}") from error
    with response, replacing(out) as scratch:
        total = announced_bytes(response)
        digest, done = hashlib.sha256(), 0
        with scratch.open("wb") as stream:
            try:
                for block in blocks(response, most_bytes):
                    digest.update(block)
                    stream.write(block)
                    done += len(block)
                    progress(done, total)
            except DownloadError as error:
                raise DownloadError(f"{url}: {error}. {by_hand}") from error
        if problem := _wrong(url, scratch, digest.hexdigest(), done, total):
            raise DownloadError(f"{url} is refused: {problem}. {by_hand}")


def announced_bytes(response: HTTPResponse) -> int | None:
    """The length of an answer by its head, if it says so."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdecimal() else None


def blocks(response: HTTPResponse, most_bytes: int = MOST_BYTES, done: int = 0) -> Iterator[bytes]:
    """The content of an answer, piece by piece.

    Args:
        response: The answer.
        most_bytes: Where to stop.
        done: Bytes of the file that are here already; they count too.

    Raises:
        DownloadError: There are more bytes, or the connection ends.
    """
    expected = done + (announced_bytes(response) or 0)
    while True:
        if max(done, expected) > most_bytes:
            raise DownloadError(
                f"it has {max(done, expected):,} bytes or more; up to {most_bytes:,} are fetched"
            )
        try:
            block = response.read(_BLOCK)
        except (OSError, HTTPException) as error:
            raise DownloadError(f"the connection ended after {done} bytes ({error})") from error
        if not block:
            return
        done += len(block)
        yield block


def check_address(url: str) -> None:
    """Refuse addresses by which somebody on the way could change the file.

    Raises:
        DownloadError: It is neither ``https``, nor ``http`` of this machine.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or parts.hostname not in _LOCAL:
        raise DownloadError(
            f"{url} is not fetched: {parts.scheme or 'no scheme'} does not protect a file on its "
            "way. Take an address that begins with https://, or fetch the file by hand, check it, "
            "and name the local file"
        )


def file_name(url: str) -> str:
    """The name that a downloaded file gets: the last part of the address, and nothing of a path.

    Raises:
        DownloadError: The address names no file.
    """
    name = urllib.parse.urlsplit(url).path.rpartition("/")[2]
    if name in ("", ".", "..") or not name.isprintable() or "\\" in name:
        raise DownloadError(f"{url} names no file; an address ends in one, as .../NAME.pth")
    return name


def begins_as_weights(start: bytes) -> bool:
    """Whether a file begins as ``torch.save`` writes it."""
    return start.startswith(_TORCH)


class Session:
    """Requests that share cookies, and go to encrypted addresses or to this machine alone."""

    def __init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(cookies, _Redirects())

    def get(self, url: str, start: int = 0) -> HTTPResponse:
        """Ask for a file, or for what follows its first bytes.

        Args:
            url: Where.
            start: How many bytes are here already.

        Raises:
            DownloadError: The address, or one that it leads to, is not protected.
            OSError: It cannot be reached.
        """
        check_address(url)
        headers = {"User-Agent": "Mozilla/5.0"}
        if start:
            headers["Range"] = f"bytes={start}-"
        request = urllib.request.Request(url, headers=headers)
        response: HTTPResponse = self._opener.open(request, timeout=_TIMEOUT)
        return response


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Follow a redirection to where an encrypted address may lead."""
        check_address(newurl)
        if req.type == "https" and urllib.parse.urlsplit(newurl).scheme != "https":
            raise DownloadError(f"{req.full_url} leads to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _wrong(url: str, path: Path, digest: str, done: int, total: int | None) -> str | None:
    if total is not None and done != total:
        return f"{done} of {total} bytes arrived"
    named = _HASH.search(file_name(url))
    if named is not None and not _DATE.fullmatch(named[1]):
        if digest.startswith(named[1]):
            return None
        return (
            f"its SHA-256 sum begins with {digest[: len(named[1])]}, its name says {named[1]}: it "
            "was damaged or changed on the way, or on the server"
        )
    with path.open("rb") as file:
        start = file.read(64)
    if path.suffix != ".safetensors" and not begins_as_weights(start):
        return f"it does not begin as a PyTorch file does, but with {start[:24]!r}"
    try:
        check_whole(path)
    except DamagedFileError as error:
        return str(error)
    return None
