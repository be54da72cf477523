"""Files are whole or absent, and their checksums are those that other tools compute."""

import hashlib
import json
import subprocess

import pytest

from bench.files import (
    check_sum,
    check_writable,
    read_json_if_valid,
    read_sealed_if_valid,
    write_json,
    write_sealed,
    write_sum,
    write_text,
)
from nisp.errors import UserError
from nisp.whole_files import replacing


def test_a_file_appears_when_it_is_whole(tmp_path):
    file = tmp_path / "deep/er/x.txt"
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert temporary.parent == file.parent and temporary != file and not file.exists()
    assert file.read_text() == "new" and list(file.parent.iterdir()) == [file]
    with pytest.raises(ZeroDivisionError), replacing(file) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert file.read_text() == "new" and list(file.parent.iterdir()) == [file]
    write_text(file, "newer")
    assert file.read_text() == "newer" and list(file.parent.iterdir()) == [file]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with replacing(tmp_path / "x") as one, replacing(tmp_path / "x") as two:
        assert one != two
        one.touch()
        two.touch()


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/x cannot be written: (Not a directory|File exists)"):
        write_text(tmp_path / "file/x", "y")
    with pytest.raises(UserError, match="cannot be written"):
        check_writable(tmp_path / "file")
    check_writable(tmp_path / "new/folder")
    assert list((tmp_path / "new/folder").iterdir()) == []


def test_json_comes_back_with_numbers_that_are_none(tmp_path):
    file = tmp_path / "x.json"
    write_json(file, {"a": [1, float("inf")]})
    assert read_json_if_valid(file) == {"a": [1, float("inf")]}
    for content in (b"{", b"", b"\xff\xfe"):
        file.write_bytes(content)
        assert read_json_if_valid(file) is None
    assert read_json_if_valid(tmp_path / "none.json") is None


def test_a_seal_is_the_sha256_of_the_content_as_json(tmp_path):
    file, content = tmp_path / "x.json", {"b": 1, "a": [0.1, "é"]}
    write_sealed(file, content)
    seal = hashlib.sha256(b'{"b": 1, "a": [0.1, "\\u00e9"]}').hexdigest()
    assert json.loads(file.read_text()) == {"sha256": seal, **content}
    assert read_sealed_if_valid(file) == content
    write_sealed(file, {"a": float("nan")})
    assert str(read_sealed_if_valid(file)) == "{'a': nan}"
    for other in ([1], "text", {}, content, {"sha256": None, **content}):
        write_json(file, other)
        assert read_sealed_if_valid(file) is None


def test_a_checksum_is_that_of_sha256sum(tmp_path):
    file, beside = tmp_path / "x.csv", tmp_path / "x.csv.sha256"
    file.write_bytes(b"a,b\n1,2\n")
    check_sum(file)
    write_sum(file)
    assert beside.read_text() == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  x.csv\n"
    subprocess.run(["sha256sum", "--check", beside.name], cwd=tmp_path, check=True, capture_output=True)
    check_sum(file)
    file.write_bytes(b"a,b\n1,3\n")
    with pytest.raises(UserError, match=r"x\.csv is damaged or was edited .* delete x\.csv\.sha256"):
        check_sum(file)
    file.write_bytes(b"a,b\n1,2\n")
    beside.write_text(beside.read_text().replace("x.csv", "y.csv"))
    with pytest.raises(UserError, match="damaged"):
        check_sum(file)
    beside.unlink()
    check_sum(file)
