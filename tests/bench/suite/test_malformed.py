"""Suites that are none: each ends in one sentence that names the file and the key, before anything is planned."""

import string
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.suite.loading import load_suite
from nisp.errors import UserError
from tests.bench.suite.test_loading import SMALL, changed, complaint

ATTACKS = [
    "; touch pwned", "a; touch pwned", "$(touch pwned)", "`touch pwned`", "a && touch pwned", "a | touch pwned",
    "../up", "..", ".", "/etc/passwd", "a/b", "a\\b", "a\nb", "a\n", "a\tb", "a b", " a", "", "~", "~root", "-rf", "*",
    "?", "{seed}", "{", "}", "a'b", 'a"b', "a\0b", "a\x1b[31mb", "nısp", "nіsp", "ｎisp", "a\u202eb", "a\u200bb", "%s",
    "<a>", "x" * 65,
]  # fmt: skip
"""Shell syntax, paths, blanks and controls, Snakemake's placeholders, letters that only look like others, too long."""
NAMES = [
    ["suite"], ["datasets", 0, "name"], ["experiments", 0, "name"], ["experiments", 0, "methods", 0],
    ["experiments", 0, "models", 0, "name"], ["methods", "nisp", "criterion"], ["questions", 0, "id"],
    ["questions", 0, "subject"], ["questions", 0, "against", 0], ["questions", 0, "models", 0],
    ["questions", 0, "metric"], ["bundle"], ["methods", KeyError], ["training", "models", KeyError],
]  # fmt: skip
"""Every place of a suite that holds a name; KeyError stands for the name as a key."""
NUMBERS = [
    ["training", "default", "epochs"], ["training", "default", "batch_size"], ["training", "default", "learning_rate"],
    ["training", "default", "momentum"], ["training", "default", "weight_decay"], ["finetune", "epochs"],
    ["finetune", "learning_rate_factor"], ["scratch_b_limit"], ["calibration_images"], ["large_batch"],
    ["experiments", 0, "seeds", 0], ["experiments", 0, "ratios", 0], ["datasets", 0, "split_seed"],
    ["questions", 0, "margin"], ["questions", 0, "ratios", 0], ["experiments", 0, "models", 0, "depth"],
]  # fmt: skip
NO_NUMBERS = [float("nan"), float("inf"), -float("inf"), 10**30, 1e300, -1, True, "many", "inf", "1e999", [1], {"a": 1}]
MANY = SMALL["experiments"][0] | {"seeds": list(range(60)), "ratios": [k / 10_000 for k in range(1, 9_000)]}
WRONG = {
    "text for a list": (["experiments"], "all"),
    "a number for a mapping": (["methods"], 3),
    "nothing for a mapping": (["training"], None),
    "a list for a mapping": (["training", "default"], [1]),
    "a mapping for a list": (["questions"], {"id": "RQ1"}),
    "a number for a text": (["title"], 3),
    "a date for a text": (["title"], yaml.safe_load("2020-01-01")),
    "no experiment": (["experiments"], []),
    "no models": (["experiments", 0, "models"], []),
    "no ratios": (["experiments", 0, "ratios"], []),
    "nothing to compare with": (["questions", 0, "against"], []),
    "no models asked about": (["questions", 0, "models"], []),
    "no ratios asked about": (["questions", 0, "ratios"], []),
    "title missing": (["title"], KeyError),
    "experiments missing": (["experiments"], KeyError),
    "training missing": (["training"], KeyError),
    "default missing": (["training", "default"], KeyError),
    "epochs missing": (["training", "default", "epochs"], KeyError),
    "finetune missing": (["finetune"], KeyError),
    "criterion missing": (["methods", "nisp", "criterion"], KeyError),
    "claim missing": (["questions", 0, "claim"], KeyError),
    "unknown key of a question": (["questions", 0, "metrics"], "top1_final"),
    "a key with a line break": (["a\nb"], 1),
    "unknown key of a data set": (["datasets", 0, "path"], "x"),
    "unknown key of a method": (["methods", "nisp", "rec"], "x"),
    "unknown key of an override": (["training", "models", "lenet"], {"lr": 1}),
    "ratio 1": (["experiments", 0, "ratios"], [1]),
    "ratio 50": (["experiments", 0, "ratios"], [50]),
    "ratio too small for a file's name": (["experiments", 0, "ratios"], [0.00001]),
    "denormal ratio": (["experiments", 0, "ratios"], [5e-324]),
    "ratios alike in a file's name": (["experiments", 0, "ratios"], [0.5, 0.5000001]),
    "method twice": (["experiments", 0, "methods"], ["nisp", "random", "nisp"]),
    "model twice": (["experiments", 0, "models"], [{"name": "lenet"}] * 2),
    "experiment twice": (["experiments"], SMALL["experiments"] * 2),
    "question twice": (["questions"], SMALL["questions"] * 2),
    "axis twice": (["bundle"], ["seed", "seed"]),
    "methods alike but for case": (["methods", "NISP"], {"criterion": "nisp"}),
    "seed that is no whole number": (["experiments", 0, "seeds"], [0.5]),
    "option of wrong type": (["methods", "nisp", "options"], {"alpha": "big"}),
    "option that is no truth": (["methods", "nisp", "options"], {"joint": 1}),
    "option that is no word": (["methods", "nisp", "options"], {"variant": 2}),
    "option not finite": (["methods", "nisp", "options"], {"alpha": float("nan")}),
    "options in a list": (["methods", "nisp", "options"], ["alpha"]),
    "unknown augmentation": (["training", "default", "augment"], ["turn"]),
    "unknown precision": (["training", "default", "precision"], "fp8"),
    "checksum that is none": (["training", "default", "weights_sha256"], "12"),
    "momentum 1": (["training", "default", "momentum"], 1),
    "method not run": (["questions", 0, "subject"], "magnitude"),
    "a method against itself": (["questions", 0, "against"], ["nisp"]),
    "the unpruned network as subject": (["questions", 0, "subject"], "base"),
    "one seed only": (["experiments", 0, "seeds"], [0]),
    "a slope over one depth": (["questions", 0], SMALL["questions"][0] | {"kind": "slope", "margin": 1.0}),
    "a place that is taken": (["suite"], "reference"),
    "more runs than can be planned": (["experiments"], [MANY]),
}
NO_YAML = {
    "a comment": b"# suite",
    "a word": b"suite",
    "a number": b"3",
    "an open mapping": b"suite: {",
    "an open quote": b"suite: 'x",
    "a tab": b"suite:\n\tx: 1",
    "two colons": b"suite: a: b",
    "bad indentation": b"a:\n  b: 1\n c: 2",
    "a key that is a list": b"? [a]\n: 1",
    "a key that is nothing": b"~: 2",
    "an unknown alias": b"suite: *x",
    "two documents": b"a: 1\n---\nb: 2",
    "another YAML": b"%YAML 9.9\n---\na: 1",
    "merging no mapping": b"<<: [1]",
    "a module of Python": b"suite: !!python/module:os",
    "a name of Python": b"suite: !!python/name:os.system",
    "an unknown tag": b"suite: !mine x",
    "no truth": b"suite: !!bool maybe",
    "no number": b"suite: !!float abc",
    "no whole number": b"suite: !!int ''",
    "no date": b"suite: 2020-13-45",
    "no timestamp": b"suite: !!timestamp x",
    "a number of 5,000 digits": b"suite: " + b"1" * 5000,
    "an empty binary number": b"suite: 0b_",
    "a set": b"suite: !!set {a}",
    "a list within itself": b"suite: &a [*a]",
    "a mapping within itself": b"suite: &a {b: *a}",
    "deep brackets": b"[" * 3000,
    "deep mappings": b"{a: " * 3000,
    "deep dashes": b"- " * 3000,
    "UTF-16": "suite: x".encode("utf-16"),
    "Latin-1": "title: ü".encode("latin-1"),
    "a NUL": b"suite: a\0b",
    "a control character": b"suite: \x07",
    "half a character": b"suite: \xe2\x82",
    "a zip": b"PK\x03\x04\x14\0\0\0",
    "a pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0",
    "a PNG": b"\x89PNG\r\n\x1a\n",
    "a gzip": b"\x1f\x8b\x08\0\0\0\0\0",
    "a byte order mark alone": b"\xef\xbb\xbf",
    "2 MB of words": b"a: " + b"x " * 1_000_000,
    "a bomb of aliases": b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    + b"".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n".encode() for i in range(1, 12)),
    "a bomb of merges": b"a0: &a0 {x: 1}\n"
    + b"".join(f"a{i}: &a{i} {{b: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n".encode() for i in range(1, 12)),
}


def dotted(where):
    return ".".join(str(part) for part in where if part is not KeyError)


def named(where, value):
    """SMALL with a name set to ``value`` at that place."""
    *path, last = where
    if last is KeyError:
        return changed([*path, value], {"criterion": "nisp"} if path == ["methods"] else {"epochs": 1})
    if where == ["bundle"]:
        return changed(where, [value])
    return changed(where, value)


CASES = {
    **{f"{dotted(where)} {attack!r:.30}": named(where, attack) for where in NAMES for attack in ATTACKS},
    **{f"{dotted(where)} {value!r}": changed(where, value) for where in NUMBERS for value in NO_NUMBERS},
    **{name: changed(*wrong) for name, wrong in WRONG.items()},
    **NO_YAML,
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_suite_is_one_sentence(tmp_path, case):
    text = complaint(tmp_path, CASES[case])
    if isinstance(CASES[case], dict) and "." in case.split()[0]:
        key = next(part for part in reversed(case.split()[0].split(".")) if not part.isdigit())
        assert key.rstrip("s") in text


def test_there_are_as_many_cases_as_the_documentation_says():
    documented = (Path(__file__).parents[3] / "docs/reliability.md").read_text()
    assert len(CASES) > 200 and f"{len(CASES):,} malformed suites" in documented


FUZZ = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(string.printable, max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(node, path=()):
    """Every place of a suite, as a path to it."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@FUZZ
@given(st.sampled_from(sorted(places(SMALL), key=str)), VALUES)
def test_any_value_at_any_place_is_taken_or_told_in_one_sentence(tmp_path, where, value):
    file = tmp_path / "mine.yaml"
    content = yaml.safe_dump(changed(list(where), value))
    file.write_text(content)
    try:
        load_suite(file)
    except UserError:
        complaint(tmp_path, content.encode())


@FUZZ
@given(st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 40))
def test_a_suite_with_any_bytes_in_it_is_taken_or_told_in_one_sentence(tmp_path, place, junk, cut):
    file, whole = tmp_path / "mine.yaml", yaml.safe_dump(SMALL).encode()
    place %= len(whole)
    content = whole[:place] + junk + whole[place + cut :]
    file.write_bytes(content)
    try:
        load_suite(file)
    except UserError:
        complaint(tmp_path, content)
