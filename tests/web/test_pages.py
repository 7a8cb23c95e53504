"""The files of a page."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import brotli
import pytest

from zchat.errors import UsageError
from zchat.web import pages
from zchat.web.pages import file_response, files_of


def test_a_folders_files_are_read_once_with_their_types_and_compressed(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>hello</p>" * 100)
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "a.mjs").write_text("1")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("secret")
    found = files_of(tmp_path)
    assert set(found) == {"", "index.html", "js/a.mjs", "logo.png", "zchat.js"}
    assert found["zchat.js"] == files_of(None)["zchat.js"]
    assert found[""].kind == "text/html; charset=utf-8"
    assert found["js/a.mjs"].kind == "text/javascript; charset=utf-8"
    assert (found["logo.png"].kind, found["logo.png"].packed) == ("image/png", {})
    assert found[""].body == b"<p>hello</p>" * 100


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),  # as Chromium says
        ("GZIP;q=1.0, br ; q = 0.5", "br"),
        ("gzip, br;q=0", "gzip"),
        ("x-gzip, gzip2, br;q=0.000, identity", None),
        ("", None),
    ],
)
def test_a_file_is_served_in_the_shortest_encoding_that_the_browser_takes(
    tmp_path: Path, accepted: str, encoding: str | None
) -> None:
    (tmp_path / "index.html").write_text("<p>hello</p>" * 100)
    file = files_of(tmp_path)[""]
    response = file_response(file, accepted, "")
    assert response.headers.get("Content-Encoding") == encoding
    read = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[encoding]
    assert read(response.body) == file.body


def test_zchats_own_page_is_served_without_comments_and_indentation_and_a_page_of_ones_own_as_it_is(
    tmp_path: Path,
) -> None:
    ours, theirs = files_of(None), {path.name: path.read_bytes() for path in pages.STATIC.iterdir()}
    assert set(ours) == {"", *theirs}
    for name in ("zchat.js", "chat.js", "style.css", "index.html"):
        assert not re.search(rb"^\s|/\*\*|^//", ours[name].body, re.MULTILINE), name
        (tmp_path / name).write_bytes(theirs[name])
    (tmp_path / "index.html").write_text("mine")
    for name, file in files_of(tmp_path).items():
        assert file.body == (theirs[name] if name.endswith(("js", "css")) else b"mine")


def test_a_folder_that_is_no_page_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match=r"index\.html"):
            files_of(folder)
    for wrong in ("", "a\0b", "\ud800", b"page", 5):
        with pytest.raises(UsageError, match="page is the path of a folder, not "):
            files_of(wrong)  # type: ignore[arg-type]
    (tmp_path / "index.html").write_text("x" * 20)
    monkeypatch.setattr(pages, "MAX_FILE", 10)
    with pytest.raises(UsageError, match="too large"):
        files_of(tmp_path)
