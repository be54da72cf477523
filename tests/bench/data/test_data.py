import gzip
import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from bench.data import _idx, cifar10, cifar100, fashion_mnist, mnist
from bench.data.digits import load
from nisp.errors import UserError


def test_the_split_is_fixed_by_its_seed(tmp_path, digits):
    again, other = load(tmp_path, 0), load(tmp_path, 1)
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(again, part).images, getattr(digits, part).images)
        assert not torch.equal(getattr(other, part).images, getattr(digits, part).images)


def test_all_splits_move_to_another_device(digits):
    moved = digits.to(torch.device("meta"))
    assert (moved.name, moved.classes) == ("digits", 10)
    assert all(tensor.is_meta for part in (moved.train, moved.validation, moved.test) for tensor in part)


def test_calibration_images_are_training_images_and_depend_on_the_seed_only(digits):
    first, again, other = digits.calibration(50, 3), digits.calibration(50, 3), digits.calibration(50, 4)
    assert torch.equal(first.images, again.images) and not torch.equal(first.images, other.images)
    train = {image.numpy().tobytes() for image in digits.train.images}
    assert all(image.numpy().tobytes() in train for image in first.images)
    assert len(digits.calibration(10**6, 0).labels) == len(digits.train.labels)


def idx(array):
    """An IDX file of unsigned bytes, as MNIST's."""
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder, packed=True, train=120, test=20):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for (part, kind), file in _idx.FILES.items():
        count = train if part == "train" else test
        array = rng.integers(0, 256, (count, 28, 28)) if kind == "images" else np.arange(count) % 10
        content = idx(array.astype(np.uint8))
        (folder / f"{file}.gz").write_bytes(gzip.compress(content)) if packed else (folder / file).write_bytes(content)


@pytest.mark.parametrize(("where", "packed"), [("mnist", True), ("mnist", False), ("MNIST/raw", False)])
def test_mnist_is_read_from_idx_files(tmp_path, where, packed):
    write_idx(tmp_path / where, packed)
    dataset = mnist.load(tmp_path, 0)
    sizes = [len(part.labels) for part in (dataset.train, dataset.validation, dataset.test)]
    assert sizes == [110, 10, 20] and dataset.image_size == 28 and dataset.in_channels == 1
    assert dataset.test.labels.tolist() == [i % 10 for i in range(20)]
    assert abs(dataset.train.images.mean().item()) < 1e-5


def test_the_system_package_of_fashion_mnist_is_found_by_itself(tmp_path, monkeypatch):
    write_idx(tmp_path / "package")
    monkeypatch.setattr(fashion_mnist, "PACKAGE", tmp_path / "package")
    assert len(fashion_mnist.load(tmp_path / "data", 0).test.labels) == 20


@pytest.mark.skipif(
    not fashion_mnist.PACKAGE.exists(), reason="Debian's package dataset-fashion-mnist is not installed"
)
def test_the_real_fashion_mnist():
    dataset = fashion_mnist.load(fashion_mnist.PACKAGE / "none", 0)
    assert [len(part.labels) for part in (dataset.train, dataset.validation, dataset.test)] == [55_000, 5_000, 10_000]
    assert torch.bincount(dataset.test.labels).tolist() == [1000] * 10


DAMAGES = {
    "missing": (lambda file: file.unlink(), "is missing"),
    "cut packing": (lambda file: file.write_bytes(file.read_bytes()[:-20]), "is broken"),
    "no packing": (lambda file: file.write_bytes(b"<html>not found</html>"), "is broken"),
    "cut content": (lambda file: file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-1])), "truncated"),
    "other content": (lambda file: file.write_bytes(gzip.compress(b"hello")), "not an IDX file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("part", _idx.FILES)
def test_a_broken_idx_file_is_told_by_name(tmp_path, damage, part):
    write_idx(tmp_path / "mnist")
    file = tmp_path / "mnist" / f"{_idx.FILES[part]}.gz"
    harm, told = DAMAGES[damage]
    harm(file)
    with pytest.raises(UserError, match=told) as caught:
        mnist.load(tmp_path, 0)
    assert _idx.FILES[part] in str(caught.value) and "\n" not in str(caught.value)


def no_network(*_, **__):
    raise OSError("no route to host")


def test_what_cannot_be_downloaded_is_told_with_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.MNIST.download", no_network)
    with pytest.raises(UserError, match=r"no route to host.*put train-images-idx3-ubyte\.gz.* there"):
        mnist.load(tmp_path, 0)
    monkeypatch.setattr("torchvision.datasets.CIFAR10.download", no_network)
    with pytest.raises(UserError, match=r"data_batch_1 is missing.*unpack cifar-10-python\.tar\.gz in"):
        cifar10.load(tmp_path, 0)


def test_a_download_that_is_cut_short_leaves_nothing_that_could_be_taken_for_good(tmp_path, monkeypatch):
    """torchvision unpacks file by file into place; killed between two, it leaves the first, or a part of it."""
    cut = [True]

    def download(dataset):
        write_idx(Path(dataset.raw_folder), packed=False)
        if cut:
            cut.pop()
            file = Path(dataset.raw_folder, "t10k-images-idx3-ubyte")
            file.write_bytes(file.read_bytes()[:1000])
            raise KeyboardInterrupt

    monkeypatch.setattr("torchvision.datasets.MNIST.download", download)
    monkeypatch.setattr("torchvision.datasets.MNIST._check_exists", lambda dataset: True)
    monkeypatch.setattr("torchvision.datasets.MNIST._load_data", lambda dataset: (None, None))
    with pytest.raises(KeyboardInterrupt):
        mnist.load(tmp_path, 0)
    assert [path.name for path in tmp_path.rglob("*")] == ["MNIST"]
    assert len(mnist.load(tmp_path, 0).test.labels) == 20
    assert len(list((tmp_path / "MNIST/raw").iterdir())) == 4


def write_cifar(folder, source, monkeypatch, classes, key):
    """Batches in CIFAR's own format, and their sums where torchvision has those of the real ones."""
    base = folder / source.base_folder
    base.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sums = {}
    for index, (file, _) in enumerate((*source.train_list, *source.test_list)):
        data = rng.integers(0, 256, (20, 3072)).astype(np.uint8)
        content = pickle.dumps({"data": data, key: [(index + i) % classes for i in range(20)]})
        (base / file).write_bytes(content)
        sums[file] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    meta = pickle.dumps({source.meta["key"]: [str(i) for i in range(classes)]})
    (base / source.meta["filename"]).write_bytes(meta)
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": hashlib.md5(meta, usedforsecurity=False).hexdigest()})
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(source, name, [[file, sums[file]] for file, _ in getattr(source, name)])


@pytest.mark.parametrize("gone", ["data_batch_3", "test_batch"])
def test_cifar_is_downloaded_only_where_a_file_is_missing(tmp_path, monkeypatch, gone):
    write_cifar(tmp_path, CIFAR10, monkeypatch, 10, "labels")
    asked = []

    def download(dataset):
        asked.append(dataset.root)
        raise OSError("no route to host")

    monkeypatch.setattr(CIFAR10, "download", download)
    cifar10.load(tmp_path, 0)
    assert not asked
    (tmp_path / CIFAR10.base_folder / gone).unlink()
    with pytest.raises(UserError, match=rf"{gone} is missing and could not be downloaded"):
        cifar10.load(tmp_path, 0)
    assert [str(root) for root in asked] == [str(tmp_path)]


@pytest.mark.parametrize(
    ("module", "source", "classes", "key", "train"),
    [(cifar10, CIFAR10, 10, "labels", 100), (cifar100, CIFAR100, 100, "fine_labels", 20)],
)
def test_cifar_is_read_from_its_batches_and_a_broken_one_is_told(
    tmp_path, monkeypatch, module, source, classes, key, train
):
    write_cifar(tmp_path, source, monkeypatch, classes, key)
    dataset = module.load(tmp_path, 0)
    assert len(dataset.train.labels) + len(dataset.validation.labels) == train and len(dataset.test.labels) == 20
    assert dataset.train.images.shape[1:] == (3, 32, 32) and dataset.classes == classes
    torch.testing.assert_close(dataset.train.images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    file = tmp_path / source.base_folder / source.test_list[0][0]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"{file.name} is truncated or broken"):
        module.load(tmp_path, 0)
