"""Files appear as a whole, with their mode, and never in place of one that should stay."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gsc_pipeline.text.files import PRIVATE, replace, write_new


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_its_mode_from_the_start_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "key.json"
    write_new(file, "é\n", mode=PRIVATE)
    assert file.read_bytes() == "é\n".encode()
    assert mode(file) == 0o600
    assert mode(file.parent) == 0o700
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("kind", ["file", "folder", "link to nothing"])
def test_what_exists_is_never_written_over(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "there"
    match kind:
        case "file":
            file.write_text("mine")
        case "folder":
            file.mkdir()
        case _:
            file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        write_new(file, "theirs")
    assert list(tmp_path.iterdir()) == [file]
    assert kind != "file" or file.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_replaced_behind_a_link_and_with_its_new_mode(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o644)
    link.symlink_to(file)
    replace(link, "new", mode=PRIVATE)
    assert link.is_symlink()
    assert (file.read_text(), mode(file)) == ("new", 0o600)
    assert sorted(tmp_path.iterdir()) == [file, link]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        replace(file, "\ud800")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
