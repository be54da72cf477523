"""Paths in the workflow's settings, and the file of a suite."""

from pathlib import Path

import pytest

from bench.suite.loading import load_suite
from bench.suite.settings import at_home, expanded, suite_file
from nisp.errors import UserError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_directories_of_results_and_data_are_at_home(home):
    settings = {"suite": "a", "results": "~/x/y", "data": "~", "device": "cpu"}
    assert expanded(settings) == {"suite": "a", "results": f"{home}/x/y", "data": str(home), "device": "cpu"}
    plain = {"suite": "a", "results": "x~/y", "data": "/d/~"}
    assert expanded(plain) == plain


def test_a_home_that_nobody_has_is_reported():
    with pytest.raises(
        UserError, match=r"^~nobody-is-called-so/x cannot be expanded: there is no home directory ~nobo"
    ):
        at_home("~nobody-is-called-so/x")


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_suite_is_found_by_name_and_by_path_whichever_suffix_it_has(home, suffix):
    (home / f"mine{suffix}").write_text("{}")
    assert suite_file("mine", home) == home / f"mine{suffix}"
    assert suite_file(f"some/mine{suffix}", home) == Path(f"some/mine{suffix}")
    assert suite_file(f"~/mine{suffix}", Path("elsewhere")) == home / f"mine{suffix}"
    with pytest.raises(UserError, match=r"there is no suite file .*other\.yaml: suites in .* are mine$"):
        load_suite(suite_file("other", home))


def test_of_two_files_of_one_name_none_is_chosen(home):
    for suffix in (".yaml", ".yml"):
        (home / f"mine{suffix}").write_text("{}")
    with pytest.raises(UserError, match=r"there are two suite files .*mine\.yaml and mine\.yml: remove one"):
        suite_file("mine", home)
