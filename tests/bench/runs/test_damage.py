"""Whatever bit of a file flips, and wherever it is cut: it is noticed, and what was in it is made anew or refused."""

import random
import subprocess

import pandas as pd
import pandera.pandas as pa
import pytest
import torch

from bench.answers import tables
from bench.files import read_sealed, read_sealed_if_valid, write_sealed
from bench.runs.bases import untrained
from bench.runs.records import load_record
from bench.runs.stored_tensors import load_dataset, load_weights, save_dataset, save_weights
from bench.suite.specs import ModelSpec
from bench.training import checkpoints
from nisp.errors import UserError

FLIPS = 100
CUTS = 25
MODEL = ModelSpec(name="plain", depth=4)
SCHEMA = pa.DataFrameSchema({"model": pa.Column(str), "top1": pa.Column(float)}, strict=True)
FRAME = pd.DataFrame({"model": ["lenet", "plain", "plain"], "top1": [90.25, 81.5, 7.125]})


def damages(content):
    """The same bytes with one bit flipped, FLIPS times (half of them among the first 2,000), and cut, CUTS times."""
    random.seed(0)
    for number in range(FLIPS):
        flipped = bytearray(content)
        place = random.randrange(len(content) if number % 2 else min(len(content), 2000))
        flipped[place] ^= 1 << random.randrange(8)
        yield bytes(flipped)
    for _ in range(CUTS):
        yield content[: random.randrange(len(content))]


def test_weights(tmp_path, digits):
    file, whole, other = tmp_path / "w.safetensors", untrained(MODEL, digits, 0), untrained(MODEL, digits, 1)
    save_weights(file, whole, "abc")
    for content in damages(file.read_bytes()):
        file.write_bytes(content)
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        assert not load_weights(file, other, "abc")
        assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


def test_data_files(tmp_path, digits):
    file = tmp_path / "digits.safetensors"
    save_dataset(file, digits)
    for content in damages(file.read_bytes()):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"digits\.safetensors is broken .*: delete it and run again"):
            load_dataset(file)


def test_records(tmp_path):
    file = tmp_path / "r.json"
    measured = {"row": {"top1_final": 1 / 3, "ware": float("nan")}, "curve": [{"epoch": 0, "test_top1": 9.5}]}
    write_sealed(file, {"digest": "abc", **measured})
    assert load_record(file, "abc")["row"]["top1_final"] == 1 / 3
    whole = file.read_bytes()
    for content in damages(whole):
        file.write_bytes(content)
        assert load_record(file, "abc") is None, content
        with pytest.raises(UserError, match=r"r\.json is missing or damaged"):
            read_sealed(file)


def test_numbers_and_words_come_back_as_they_were(tmp_path):
    content = {
        "digest": "d",
        "whole": 3,
        "tiny": 5e-324,
        "odd": 0.1 + 0.2,
        "none": None,
        "text": "ü\u2028",
        "inf": -1e999,
    }
    write_sealed(tmp_path / "r.json", content)
    assert read_sealed_if_valid(tmp_path / "r.json") == content


def test_tables(tmp_path):
    file = tmp_path / "runs.csv"
    tables.write(FRAME, SCHEMA, file)
    whole = file.read_bytes()
    for content in damages(whole):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"runs\.csv is damaged or was edited .*: delete it and run again"):
            tables.read(file, SCHEMA)
    file.write_bytes(whole)
    assert tables.read(file, SCHEMA).to_dict() == FRAME.to_dict()


def test_the_sum_of_a_table_is_one_that_coreutils_read_and_without_it_an_edited_table_is_taken(tmp_path):
    file = tmp_path / "runs.csv"
    tables.write(FRAME, SCHEMA, file)
    assert subprocess.run(["sha256sum", "--check", "--quiet", "runs.csv.sha256"], cwd=tmp_path).returncode == 0
    file.write_text(file.read_text().replace("81.5", "99"))
    with pytest.raises(UserError, match=r"delete runs\.csv\.sha256 to use the file as it is"):
        tables.read(file, SCHEMA)
    (tmp_path / "runs.csv.sha256").unlink()
    assert tables.read(file, SCHEMA)["top1"].max() == 99


def test_checkpoints(tmp_path, digits):
    """A damaged one is not loaded, not even in part."""
    file, trained, fresh = tmp_path / "state", untrained(MODEL, digits, 0), untrained(MODEL, digits, 1)
    optimizer, generator = torch.optim.SGD(trained.parameters(), 0.1), torch.Generator()
    curve = [{"epoch": 0, "train_loss": 2.3, "test_loss": 2.3, "test_top1": 10.0}]
    checkpoints.save(file, trained, optimizer, generator, curve)
    whole, before = file.read_bytes(), {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    for content in damages(whole):
        file.write_bytes(content)
        assert checkpoints.resume(checkpoints.read(file), fresh, optimizer, generator) == []
        assert all(torch.equal(before[name], tensor) for name, tensor in fresh.state_dict().items())
    file.write_bytes(whole)
    assert checkpoints.resume(checkpoints.read(file), fresh, optimizer, generator) == curve


@pytest.mark.parametrize("kind", ["record", "table", "weights", "data", "checkpoint"])
def test_a_full_disk_is_one_sentence_and_keeps_what_was_there(tmp_path, digits, kind, small_disk):
    """On a real file system of 64 KiB where one may be mounted; the old file stays as it is, and no piece is left."""
    model = untrained(MODEL, digits, 0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    path = small_disk / kind
    path.write_bytes(b"old")
    with pytest.raises(UserError, match=rf"{kind} cannot be written: .*[Nn]o space left") as caught:
        {
            "record": lambda: write_sealed(path, {"digest": "d", "row": "x" * 100_000}),
            "table": lambda: tables.write(pd.concat([FRAME] * 9000), SCHEMA, path),
            "weights": lambda: save_weights(path, model, "d"),
            "data": lambda: save_dataset(path, digits),
            "checkpoint": lambda: checkpoints.save(path, model, optimizer, torch.Generator(), []),
        }[kind]()
    assert "\n" not in str(caught.value)
    assert [file.name for file in small_disk.iterdir()] == [kind] and path.read_bytes() == b"old"


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)
