"""Files that are missing, damaged, hostile or of another release are refused in one sentence."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.models import plain
from nisp.errors import UserError
from nisp.pruning.saving import load, save
from nisp.pruning.saving.stored_files import seal
from tests.nisp.pruning.halving import halved

PLAIN = ("bench.models.plain:build", {"depth": 4, "in_channels": 3, "image_size": 32, "classes": 10})
WITH_BENCH = ["bench.models"]


@pytest.fixture(params=["structure", "factory"])
def saved(request, tmp_path):
    """A folder with a pruned plain network, described in either way."""
    pruned = halved(lambda: plain.build(**PLAIN[1]))
    origin = PLAIN if request.param == "factory" else ()
    save(pruned, tmp_path / "net", *origin, allowed=WITH_BENCH)
    return tmp_path / "net"


def reload(folder):
    return load(folder, allowed=WITH_BENCH)


def edit(folder, **changes):
    file = folder / "network.json"
    content = json.loads(file.read_text()) | changes
    content.pop("seal", None)
    file.write_text(json.dumps(content | {"seal": seal(content)}))


def test_missing_files_are_reported(saved):
    (saved / "weights.safetensors").unlink()
    with pytest.raises(UserError, match=r"the weights .*weights\.safetensors cannot be read: No such file"):
        reload(saved)
    with pytest.raises(UserError, match=r"there is no .*other.network\.json"):
        reload(saved.with_name("other"))


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-100], lambda content: content[:-1] + bytes([content[-1] ^ 1])]
)
def test_damaged_weights_are_reported(saved, damage):
    file = saved / "weights.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match="are damaged or belong to another network: their checksum is not"):
        reload(saved)


def test_a_file_that_is_not_safetensors_is_reported_even_with_the_right_checksum(saved):
    (saved / "weights.safetensors").write_bytes(b"not tensors")
    edit(saved, sha256=hashlib.sha256(b"not tensors").hexdigest())
    with pytest.raises(UserError, match="are not a safetensors file"):
        reload(saved)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "cannot be read as JSON"),
        ("[]", "does not describe a network: it is not an object"),
        ('{"version": NaN}', "NaN is not a number"),
        ('{"version": ' + "[" * 100_000 + "}", "cannot be read as JSON|nested too deeply"),
        ("\ud800", "cannot be read as JSON"),
        ("{}", "has format version None, this release reads version 2"),
    ],
)
def test_a_broken_description_is_reported(saved, text, fault):
    (saved / "network.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UserError, match=fault):
        reload(saved)


def test_a_truncated_description_is_reported_wherever_it_ends(saved):
    file = saved / "network.json"
    whole = file.read_text()
    for end in range(0, len(whole) - 1, max(1, len(whole) // 50)):
        file.write_text(whole[:end])
        with pytest.raises(UserError, match="cannot be read as JSON"):
            reload(saved)


def test_a_changed_digit_in_the_description_is_reported(saved):
    file = saved / "network.json"
    text = file.read_text()
    digits = [place for place, letter in enumerate(text) if letter in "123456"]
    for place in digits[:: len(digits) // 40]:
        file.write_text(f"{text[:place]}7{text[place + 1 :]}")
        with pytest.raises(UserError, match=r"is damaged or was edited|has format version 7"):
            reload(saved)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"version": 1}, "has format version 1, this release reads version 2: save it again"),
        ({"version": True}, "'version' of it has the wrong type|has format version True"),
        ({"colour": "red"}, "does not describe a network: it has the unknown key 'colour'"),
        ({"sha256": 5}, "'sha256' of it has the wrong type: int"),
        ({"numbers": []}, "'numbers' of it has the wrong type: list"),
    ],
)
def test_a_wrong_head_is_one_sentence(saved, changes, fault):
    edit(saved, **changes)
    with pytest.raises(UserError, match=fault) as raised:
        reload(saved)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("saved", ["factory"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"arguments": []}, "'arguments' of it has the wrong type: list"),
        ({"attributes": {"0": 1}}, "the attributes of '0' are not an object"),
        ({"factory": "os:system", "arguments": {"command": "true"}}, "'os:system' is not allowed"),
        ({"factory": "torchvision.models:list_models", "arguments": {}}, "is not a function or class of"),
        ({"factory": "torchvision.models:resnet18", "arguments": {}, "attributes": {}}, "do not fit the network"),
        ({"attributes": {"0": {"forward": 1}}}, "sets 'forward' of the module '0', which has no such attribute"),
        ({"attributes": {"0": {"_parameters": {}}}}, "sets '_parameters'"),
        ({"attributes": {"nowhere": {"groups": 1}}}, "sets 'groups' of the module 'nowhere'"),
        ({"attributes": {}}, r"'0\.weight' is of shape \(8, 3, 3, 3\), it needs \(16, 3, 3, 3\)"),
        ({"attributes": {"0": {"groups": 0}}}, "the layer '0' of .* has a wrong attribute, or lacks one"),
    ],
)
def test_an_origin_that_does_not_hold_is_one_sentence(saved, changes, fault):
    edit(saved, **changes)
    with pytest.raises(UserError, match=fault) as raised:
        reload(saved)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda tensors: tensors.pop("0.weight"), r"'0\.weight' is (missing|only in the description)"),
        (
            lambda tensors: tensors.update(extra=torch.zeros(1)),
            "'extra' is (not one of the network's|only in the weights)",
        ),
        (lambda tensors: tensors.update({"0.weight": torch.zeros(8)}), r"'0\.weight' is .*of shape \(8,\)"),
        (lambda tensors: tensors.update({"0.weight": tensors["0.weight"].int()}), r"'0\.weight' is torch\.int32"),
    ],
)
def test_tensors_that_do_not_fit_are_reported(saved, change, fault):
    file = saved / "weights.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    edit(saved, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(UserError, match=fault):
        reload(saved)
