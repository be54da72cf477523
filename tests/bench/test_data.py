import torch
from sklearn.datasets import load_digits

from bench.data.digits import load


def test_digits_are_split_by_class_without_overlap_or_loss(digits):
    splits = (digits.train, digits.validation, digits.test)
    assert sum(len(s.labels) for s in splits) == 1797
    for split in splits:
        share = torch.bincount(split.labels, minlength=10) / len(split.labels)
        assert (share - 0.1).abs().max() < 0.02
    everything = torch.cat([s.images for s in splits]).flatten(1)
    assert len(everything.unique(dim=0)) == len(torch.as_tensor(load_digits().data).unique(dim=0))


def test_the_training_split_is_what_normalises(digits):
    assert digits.train.images.shape[1:] == (1, 8, 8) and digits.train.images.dtype == torch.float32
    assert abs(digits.train.images.mean().item()) < 1e-5 and abs(digits.train.images.std().item() - 1) < 1e-4


def test_the_split_is_fixed_by_its_seed(tmp_path, digits):
    assert torch.equal(load(tmp_path, 0).test.labels, digits.test.labels)
    assert not torch.equal(load(tmp_path, 1).test.labels, digits.test.labels)


def test_calibration_images_are_training_images_and_depend_on_the_seed_only(digits):
    first, again, other = digits.calibration(50, 3), digits.calibration(50, 3), digits.calibration(50, 4)
    assert torch.equal(first.images, again.images) and not torch.equal(first.images, other.images)
    train = {image.numpy().tobytes() for image in digits.train.images}
    assert all(image.numpy().tobytes() in train for image in first.images)
    assert len(digits.calibration(10**6, 0).labels) == len(digits.train.labels)
