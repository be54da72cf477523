import io
import shutil
import time
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms import v2

from bench.data import FileSplit, _photographs, imagenet
from bench.data._crops import random_part
from bench.data._photographs import Photograph
from bench.runs.bases import untrained
from bench.runs.stored_tensors import load_dataset, save_dataset
from bench.suite.loading import load_suite
from bench.suite.specs import ModelSpec
from bench.training.augmentation import augmented
from bench.training.evaluation import classifier_inputs, logits
from bench.training.loop import Recipe, train
from bench.training.prefetching import BATCHES, ahead
from nisp.errors import UserError
from tests.conftest import write_photographs

SIZE = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the images that torchvision's weights were trained on


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_photographs(folder / "imagenet")
    return folder


@pytest.fixture
def copied(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def photographs(tree):
    return imagenet.load(tree, 0, SIZE)


def names(split):
    return [bytes(row).rstrip(b"\0").decode() for row in split.images.paths.numpy()]


def test_every_file_is_in_one_split_and_each_class_is_validated(tree, photographs):
    listed = [names(split) for split in (photographs.train, photographs.validation, photographs.test)]
    assert [len(part) for part in listed] == [21, 3, 12] and photographs.classes == 3
    root = tree / "imagenet"
    assert sorted(chain(*listed)) == sorted(str(file.relative_to(root)) for file in root.rglob("*.JPEG"))
    assert all(name.startswith("val/") for name in listed[2])
    assert sorted(photographs.validation.labels.tolist()) == [0, 1, 2]
    for split in (photographs.train, photographs.validation, photographs.test):
        assert [int(name.split("/")[1][1:]) for name in names(split)] == split.labels.tolist()
    assert photographs.train.labels.tolist() != sorted(photographs.train.labels.tolist()), "the order is random"


def test_the_split_is_fixed_by_its_seed(tree, photographs):
    assert names(imagenet.load(tree, 0, 64).train) == names(photographs.train)
    assert names(imagenet.load(tree, 1).train) != names(photographs.train)


def test_images_are_what_torchvision_makes_of_them(tree):
    for size in (64, 224):
        dataset = imagenet.load(tree, 0, size)
        shown = v2.Compose([v2.Resize(round(size * 8 / 7)), v2.CenterCrop(size)])
        normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
        for index, name in enumerate(names(dataset.test)):
            found = dataset.test.images[torch.tensor([index])][0]
            with Image.open(tree / "imagenet" / name) as photograph:
                expected, by_pillow = normalise(shown(v2.functional.pil_to_tensor(photograph))), shown(photograph)
            torch.testing.assert_close(found, expected)
            step = 1.01 / 255 / min(STD)
            torch.testing.assert_close(found, normalise(v2.functional.pil_to_tensor(by_pillow)), rtol=0, atol=step)


def test_a_grey_and_a_cmyk_photograph_become_three_channels(copied):
    folder = copied / "imagenet/val/n00000000"
    for index, mode in enumerate(("L", "CMYK")):
        with Image.open(folder / f"n00000000_{index}.JPEG") as photograph:
            photograph.convert(mode).save(folder / f"n00000000_{index}.JPEG", "JPEG")
    assert imagenet.load(copied, 0, SIZE).test.images[torch.arange(2)].shape == (2, 3, SIZE, SIZE)


@pytest.mark.parametrize(("mode", "form"), [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG")])
def test_decoding_gives_pillows_pixels(mode, form):
    file = io.BytesIO()
    colours = np.random.default_rng(1).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    Image.fromarray(colours).convert(mode).save(file, form)
    with Image.open(file) as photograph:
        expected = np.asarray(photograph.convert("RGB"))
    decoded = Photograph.decoded(file.getvalue())
    assert decoded.size == (41, 30)
    np.testing.assert_array_equal(decoded.pixels[0].permute(1, 2, 0), expected)


def test_a_photograph_too_large_to_be_one_is_refused(monkeypatch):
    monkeypatch.setattr(_photographs, "LARGE", 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, "JPEG")
    with pytest.raises(ValueError, match="decompression bomb"):
        Photograph.decoded(file.getvalue())


def test_files_are_used_like_a_tensor(photographs):
    images = photographs.train.images
    everything = images[torch.arange(21)]
    assert everything.dtype == torch.float32 and images.shape == everything.shape and len(images) == 21
    assert torch.equal(torch.cat(list(images.split(4))), everything)
    assert torch.equal(images[torch.tensor([5, 2, 2])], everything[[5, 2, 2]])
    view = images[:6]
    assert len(view) == 6 and view.shape == (6, 3, SIZE, SIZE)
    assert torch.equal(torch.cat(list(view.split(100))), everything[:6])
    assert torch.equal(images[5:9][torch.arange(4)], everything[5:9])
    assert torch.equal(photographs.example, everything[:1]) and photographs.in_channels == 3
    assert photographs.image_size == SIZE
    calibration = photographs.calibration(5, 0)
    assert calibration.images.shape == (5, 3, SIZE, SIZE)
    moved = photographs.to(torch.device("cpu"))
    assert torch.equal(moved.example, photographs.example) and isinstance(moved.test, FileSplit)
    assert photographs.to(torch.device("meta")).test.images.device.type == "meta"


def test_threads_change_nothing(photographs):
    one = photographs.train.images.resized_crops(torch.arange(21), torch.Generator().manual_seed(1))
    torch.set_num_threads(3)
    try:
        three = photographs.train.images.resized_crops(torch.arange(21), torch.Generator().manual_seed(1))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(one, three)
    other = photographs.train.images.resized_crops(torch.arange(21), torch.Generator().manual_seed(2))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("size", [(200, 240), (1000, 3), (3, 1000), (1, 1)])
def test_a_random_part_has_the_size_asked_for_and_is_fixed_by_its_seed(size):
    """Which part it is: tests/bench/data/test_crops.py."""
    photograph = Photograph(torch.randint(256, (1, 3, *size), dtype=torch.uint8))
    for seed in range(20):
        part = random_part(photograph, 16, seed)
        assert part.size == (16, 16) and torch.equal(part.pixels, random_part(photograph, 16, seed).pixels)


def test_random_parts_are_read_from_the_photograph_they_belong_to(tree, photographs):
    """A part is scaled from a box of the file that the index names, without the middle being cut first."""
    found = photographs.test.images.resized_crops(torch.tensor([7, 2]), torch.Generator().manual_seed(5))
    seeds = torch.randint(2**63 - 1, (2,), generator=torch.Generator().manual_seed(5)).tolist()
    for image, index, seed in zip(found, (7, 2), seeds, strict=True):
        content = (tree / "imagenet" / names(photographs.test)[index]).read_bytes()
        pixels = random_part(Photograph.decoded(content), SIZE, seed).pixels[0].permute(1, 2, 0).numpy() / 255
        np.testing.assert_allclose(image.permute(1, 2, 0), (pixels - MEAN) / STD, rtol=1e-4, atol=1e-5)


def test_resized_crops_are_an_augmentation_of_files_only(photographs, digits):
    chosen, generator = torch.arange(6), torch.Generator()
    cropped = augmented(photographs.train.images, chosen, ["resized_crop", "flip"], generator.manual_seed(0))
    again = augmented(photographs.train.images, chosen, ["flip", "resized_crop"], generator.manual_seed(0))
    assert torch.equal(cropped, again) and cropped.shape == (6, 3, SIZE, SIZE)
    assert torch.equal(
        augmented(photographs.train.images, chosen, [], generator), photographs.train.images[chosen]
    )  # fmt: skip
    with pytest.raises(UserError, match="resized_crop needs photographs in files"):
        augmented(digits.train.images, chosen, ["resized_crop"], generator)


def test_training_on_files_is_deterministic_and_learns(photographs):
    recipe = Recipe(12, 7, 0.1, 0.9, 0.0, "cosine", ("resized_crop", "flip"))
    curves = []
    for _ in range(2):
        model = untrained(ModelSpec(name="plain", depth=4), photographs, 0)
        curves.append([(e.test_loss, e.test_top1) for e in train(model, photographs, recipe, 0)])
    assert curves[0] == curves[1] and curves[0][-1][1] > 90


def test_files_give_the_responses_that_tensors_give(photographs):
    model = untrained(ModelSpec(name="plain", depth=4), photographs, 0).eval()
    images = photographs.train.images
    everything = images[torch.arange(len(images))]
    torch.testing.assert_close(logits(model, images), logits(model, everything))
    name = [name for name, _ in model.named_modules()][-1]
    torch.testing.assert_close(
        classifier_inputs(model, images[:9], name), classifier_inputs(model, everything[:9], name)
    )


def test_the_list_of_files_comes_back_and_is_small(photographs, tmp_path):
    file = tmp_path / "imagenet.safetensors"
    save_dataset(file, photographs)
    again = load_dataset(file)
    assert file.stat().st_size < 10_000 and again.name == "imagenet" and again.classes == 3
    for part in ("train", "validation", "test"):
        ours, theirs = getattr(photographs, part), getattr(again, part)
        assert torch.equal(ours.labels, theirs.labels) and names(ours) == names(theirs)
        chosen = torch.arange(3)
        assert torch.equal(ours.images[chosen], theirs.images[chosen])


def test_a_list_that_was_changed_is_told(photographs, tmp_path):
    file = tmp_path / "imagenet.safetensors"
    save_dataset(file, photographs)
    content, meta = load_file(file), {"name": "imagenet", "classes": "3", "root": "/", "image_size": "32"}
    content["train.labels"] = content["train.labels"].flip(0)
    save_file(content, file, meta | {"sha256": "0" * 64})
    with pytest.raises(UserError, match=r"imagenet\.safetensors is broken \(its checksum"):
        load_dataset(file)


TREES = {
    "no tree": (lambda root: shutil.rmtree(root), r"there is no folder .*imagenet/train: put ImageNet's images"),
    "no val": (lambda root: shutil.rmtree(root / "val"), r"there is no folder .*imagenet/val: put"),
    "empty class": (
        lambda root: [file.unlink() for file in (root / "train/n00000001").iterdir()],
        r"the class folder .*train/n00000001 has no \.JPEG files",
    ),
    "class only in train": (
        lambda root: shutil.rmtree(root / "val/n00000002"),
        r"train/n00000002 has no counterpart .*val/n00000002",
    ),
    "class only in val": (
        lambda root: shutil.rmtree(root / "train/n00000002"),
        r"val/n00000002 has no counterpart .*train/n00000002",
    ),
    "val as it is unpacked": (
        lambda root: [shutil.rmtree(folder) for folder in (root / "val").iterdir()],
        r"imagenet/val has no class folders: sort its images",
    ),
    "one training image": (
        lambda root: [file.unlink() for file in sorted((root / "train/n00000000").iterdir())[1:]],
        r"train/n00000000 needs at least 2 images",
    ),
    "empty file": (
        lambda root: (root / "train/n00000000/n00000000_3.JPEG").write_bytes(b""),
        r"n00000000_3\.JPEG is empty: get it again",
    ),
    "link to nothing": (
        lambda root: (root / "val/n00000000/link.JPEG").symlink_to("nothing"),
        r"link\.JPEG is empty: get it again",
    ),
}


@pytest.mark.parametrize("fault", TREES)
def test_a_tree_that_cannot_be_used_is_told_by_name(copied, fault):
    harm, told = TREES[fault]
    harm(copied / "imagenet")
    with pytest.raises(UserError, match=told) as caught:
        imagenet.load(copied, 0)
    assert "\n" not in str(caught.value)


def test_other_files_are_not_images(copied):
    folder = copied / "imagenet/val"
    (folder / "labels.txt").write_text("n00000000")
    (folder / "n00000000/._n00000000_0.JPEG").write_bytes(b"macOS")
    (folder / "n00000000/Thumbs.db").write_bytes(b"Windows")
    assert len(imagenet.load(copied, 0).test.labels) == 12


IMAGES = {
    "last byte": (lambda content: content[:-1], r"is truncated or not a JPEG \(.*\): get it again"),
    "half": (lambda content: content[: len(content) // 2], r"is truncated or not a JPEG \(.*\): get it again"),
    "no JPEG": (lambda content: b"<html>not found</html>" * 40, r"is truncated or not a JPEG \(cannot identify image"),
    "header only": (lambda content: content[:40], r"is truncated or not a JPEG"),
}


@pytest.mark.parametrize("fault", IMAGES)
def test_an_image_that_cannot_be_decoded_is_told_by_name(copied, fault):
    file = copied / "imagenet/val/n00000001/n00000001_2.JPEG"
    harm, told = IMAGES[fault]
    file.write_bytes(harm(file.read_bytes()))
    dataset = imagenet.load(copied, 0, SIZE)
    with pytest.raises(UserError, match=rf"{file}.*{told}") as caught:
        logits(torch.nn.Flatten(), dataset.test.images)
    assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


def test_an_image_that_is_gone_or_another_one_since_it_was_listed_is_told(copied):
    dataset = imagenet.load(copied, 0, SIZE)
    file = copied / "imagenet" / names(dataset.test)[0]
    file.write_bytes((copied / "imagenet" / names(dataset.test)[1]).read_bytes() + b"\0" * 5000)
    with pytest.raises(UserError, match=rf"{file} has \d+ bytes, not the \d+"):
        dataset.test.images[torch.tensor([0])]
    file.unlink()
    with pytest.raises(UserError, match=rf"{file} cannot be read \(No such file or directory\)"):
        dataset.test.images[torch.tensor([0])]


def test_what_is_made_ahead_keeps_its_order_its_errors_and_its_pace():
    made = []

    def numbers():
        for number in range(9):
            made.append(number)
            yield number
        raise ValueError("end")

    items = ahead(numbers())
    assert next(items) == 0
    assert list(islice(items, 3)) == [1, 2, 3]
    items.close()
    assert len(made) <= 4 + BATCHES, "a few are made that nobody asks for"
    made.clear()
    items = ahead(numbers())
    assert next(items) == 0
    while len(made) < 1 + BATCHES:  # while nobody asks
        time.sleep(0.001)
    items.close()
    assert made == list(range(1 + BATCHES))
    with pytest.raises(ValueError, match="end"):
        list(ahead(numbers()))


def test_the_suite_in_the_documentation_can_be_loaded(tmp_path):
    text = (Path(__file__).parents[3] / "docs/imagenet.md").read_text()
    file = tmp_path / "imagenet.yaml"
    file.write_text(text.split("```yaml\n")[1].split("```")[0])
    suite = load_suite(file)
    assert suite.dataset("imagenet").load_options == {"image_size": 224} and len(suite.runs) == 8
    assert all(suite.recipe(model).weights for model in suite.models)
