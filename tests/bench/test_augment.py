"""Augmentations move and mirror whole images, each its own way, whoever computes which of them."""

import pytest
import torch

from bench.augment import augmented
from bench.errors import UserError

COUNT, HEIGHT, WIDTH = 300, 5, 7
IMAGES = torch.arange(1.0, 1 + COUNT * 2 * HEIGHT * WIDTH).reshape(COUNT, 2, HEIGHT, WIDTH)
ALL = torch.arange(COUNT)


def generator():
    return torch.Generator().manual_seed(0)


def moved(down, right):
    """All images moved by so many pixels, pixel by pixel."""
    result = torch.zeros_like(IMAGES)
    for y in range(max(0, down), min(HEIGHT, HEIGHT + down)):
        for x in range(max(0, right), min(WIDTH, WIDTH + right)):
            result[:, :, y, x] = IMAGES[:, :, y - down, x - right]
    return result


@pytest.mark.parametrize(("name", "reach"), [("shift", 1), ("crop", 4)])
def test_each_image_moves_by_its_own_distance_and_all_distances_occur(name, reach):
    result = augmented(IMAGES, ALL, [name], generator())
    distances = range(-reach, reach + 1)
    ways = [(down, right) for down in distances for right in distances]
    fits = torch.stack([(result == moved(*way)).flatten(1).all(1) for way in ways])
    assert (fits.sum(0) == 1).all(), "each image is moved by one of the distances, all of its channels alike"
    found = [ways[way] for way in fits.int().argmax(0)]
    for axis in (0, 1):
        counts = torch.tensor([sum(way[axis] == distance for way in found) for distance in distances])
        expected = COUNT / len(distances)
        assert ((counts - expected).abs() < 4 * expected**0.5).all()
    assert len(set(found)) > 0.8 * len(ways), "down and right are drawn apart"


def test_every_second_image_or_so_is_mirrored_left_to_right():
    result = augmented(IMAGES, ALL, ["flip"], generator())
    mirrored = [torch.equal(image, other.flip(2)) for image, other in zip(result, IMAGES, strict=True)]
    same = [torch.equal(image, other) for image, other in zip(result, IMAGES, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert abs(sum(mirrored) - COUNT / 2) < 4 * (COUNT / 4) ** 0.5


def test_without_names_the_chosen_images_come_in_their_order():
    chosen = torch.tensor([7, 3, 3, 299])
    assert torch.equal(augmented(IMAGES, chosen, [], generator()), torch.stack([IMAGES[i] for i in chosen]))


def test_several_augmentations_follow_each_other_and_draw_from_one_generator():
    """Flipping first and shifting first draw other numbers, so their results differ; both are reproducible."""
    by_hand = generator()
    flipped = augmented(IMAGES, ALL, ["flip"], by_hand)
    expected = augmented(flipped, ALL, ["crop"], by_hand)
    assert torch.equal(augmented(IMAGES, ALL, ["flip", "crop"], generator()), expected)
    assert not torch.equal(augmented(IMAGES, ALL, ["crop", "flip"], generator()), expected)


@pytest.mark.parametrize("names", [["shift"], ["crop"], ["flip"], ["crop", "flip"]])
def test_a_share_of_a_batch_is_made_as_by_the_one_who_makes_all(names):
    chosen = torch.randperm(COUNT, generator=generator())[:31]
    whole = augmented(IMAGES, chosen, names, generator())
    for mine in (slice(0, None, 2), slice(1, None, 2), slice(2, None, 3)):
        drawn = generator()
        assert torch.equal(augmented(IMAGES, chosen, names, drawn, mine), whole[mine])
        everything = generator()
        augmented(IMAGES, chosen, names, everything)
        assert torch.equal(drawn.get_state(), everything.get_state()), "the next batch is drawn alike, too"


def test_a_resized_crop_needs_photographs():
    with pytest.raises(UserError, match="resized_crop needs photographs in files"):
        augmented(IMAGES, ALL, ["flip", "resized_crop"], generator())
