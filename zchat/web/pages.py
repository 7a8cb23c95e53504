"""The files that the gateway serves, and the headers that all its answers have."""

from __future__ import annotations

import gzip
import mimetypes
import re
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import brotli
from rcssmin import cssmin
from rjsmin import jsmin
from websockets.datastructures import Headers
from websockets.http11 import Response

from zchat import paths
from zchat.checks import shown
from zchat.errors import UsageError
from zchat.paths import GONE, leads_nowhere, why

STATIC = Path(__file__).parent / "static"
"""The page that comes with zchat."""

MAX_FILES = 500
"""Files of a page of one's own: they are read once, when the gateway starts."""

MAX_FILE = 8 << 20
"""Bytes of one."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What the page may do: nothing but what its own files do."""

_BARE: dict[str, Callable[[str], str]] = {
    ".js": jsmin,
    ".css": cssmin,
    ".html": partial(re.compile(r"^\s+", re.MULTILINE).sub, ""),
}
"""What takes comments and white space out of zchat's own files: those of others are served as they are."""

_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html"}

_ENCODING = re.compile(r"([!#$%&'*+.^_`|~\w-]+)\s*(?:;\s*q\s*=\s*([\d.]*))?", re.ASCII)
_NEVER = re.compile(r"0(\.0*)?", re.ASCII)
"""The weight of an encoding that a browser does not take (RFC 9110, section 12.4.2)."""


class File(NamedTuple):
    """A file as it is served."""

    kind: str
    tag: str
    body: bytes
    packed: dict[str, bytes]
    """The same, compressed, by the names of encodings, the shortest first; those that save nothing are missing."""


def files_of(page: str | PathLike[str] | None) -> dict[str, File]:
    """Return a folder's files by their paths in it, `index.html` as "" too; None: those of zchat's own page.

    `zchat.js` is among them in any case.

    Raises:
        UsageError: `page` is no path, or there is no such folder, it has no `index.html`, or it is too large.
    """
    found: dict[str, File] = {}
    bare = _BARE if page is None else {}
    folder = STATIC if page is None else _folder(page)
    if leads_nowhere(folder):
        raise UsageError(f"the page in {shown(str(folder))} can't be read: {GONE}")
    try:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
                if len(found) >= MAX_FILES or path.stat().st_size > MAX_FILE:
                    most = f"{MAX_FILES} files of {MAX_FILE} bytes at most"
                    raise UsageError(f"{shown(str(folder))} is too large for a page: {most}")
                found[path.relative_to(folder).as_posix()] = _file(path, bare.get(path.suffix))
    except OSError as error:
        raise UsageError(f"the page in {shown(str(folder))} can't be read: {why(error, folder)}") from error
    if "index.html" not in found:
        raise UsageError(f"{shown(str(folder))} has no page: it has no index.html")
    found[""] = found["index.html"]
    found.setdefault("zchat.js", _file(STATIC / "zchat.js", jsmin))
    return found


def _folder(page: str | PathLike[str]) -> Path:
    what = "page is the path of a folder"
    text = paths.given(what, page)
    if not text:  # which would be the current folder: a variable that isn't set
        raise UsageError(f"{what}, not {shown(page)}")
    return Path(text)


def _file(path: Path, bare: Callable[[str], str] | None) -> File:
    body = path.read_bytes()
    if bare is not None:
        body = bare(body.decode()).encode()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind.endswith(("json", "xml"))
    packed = {"br": brotli.compress(body), "gzip": gzip.compress(body, mtime=0)}
    return File(
        f"{kind}; charset=utf-8" if text else kind,
        f'"{sha256(body).hexdigest()[:16]}"',
        body,
        {encoding: each for encoding, each in packed.items() if len(each) < len(body)},
    )


def file_response(file: File, accepted: str, known: str) -> Response:
    """Return a file as a response; `accepted`: the encodings that the browser takes, `known`: the tags that it has."""
    headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if file.tag in (tag.strip().removeprefix("W/") for tag in known.split(",")):  # a proxy that compresses adds the W
        return response(HTTPStatus.NOT_MODIFIED, b"", headers)
    takes = {name.lower() for name, weight in _ENCODING.findall(accepted) if not _NEVER.fullmatch(weight)}
    encoding = next((each for each in file.packed if each in takes), None)
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    body = file.body if encoding is None else file.packed[encoding]
    return response(HTTPStatus.OK, body, {"Content-Type": file.kind, **headers})


def text_response(status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> Response:
    """Return a response that says something in words."""
    return response(status, text.encode() + b"\n", {"Content-Type": "text/plain; charset=utf-8", **(headers or {})})


def response(status: HTTPStatus, body: bytes, headers: dict[str, str]) -> Response:
    """Return a response; the connection is closed after it."""
    every = {
        "Date": formatdate(usegmt=True),
        "Connection": "close",
        "Content-Length": str(len(body)),
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Response(status.value, status.phrase, Headers({**every, **headers}), body)
