"""The table of costs by one command, in an empty directory."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_one_command_prints_and_writes_the_table(tmp_path):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", ROOT / "Snakefile"]
    done = subprocess.run(
        [*command, "--directory", tmp_path, "table1_costs", "--config", "results=out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    tables = tmp_path / "out/paper/tables"
    costs = pd.read_csv(tables / "table1_costs.csv")
    assert costs.columns.tolist() == [
        "variant", "flops_reduction", "flops_reduction_paper", "params_reduction", "params_reduction_paper",
    ]  # fmt: skip
    assert (tables / "table1_costs.csv").read_text() == (
        ROOT / "results/reference/paper/tables/table1_costs.csv"
    ).read_text()
    kinds = ("csv", "csv.sha256", "md", "tex")
    assert {file.name for file in tables.iterdir()} == {f"table1_costs.{kind}" for kind in kinds}
    assert "resnet-50-nisp-b" in done.stdout
