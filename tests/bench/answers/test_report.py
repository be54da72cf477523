"""The report's answers, from the committed run of a suite."""

from pathlib import Path

from bench.answers import tables
from bench.answers.report import page
from bench.answers.sentences import by_setting, headline, reductions
from bench.answers.stability import STABILITY
from bench.suite.loading import load_suite

ROOT = Path(__file__).parents[3]
TABLES = ROOT / "results/reference/embedded/tables"


def test_every_question_has_its_sentences_its_rows_over_all_settings_and_its_settings():
    suite, runs = load_suite(ROOT / "config/suites/embedded.yaml"), tables.read(TABLES / "runs.csv", tables.RUNS)
    verdicts = tables.read(TABLES / "verdicts.csv", tables.VERDICTS)
    html = page(suite, runs, verdicts, tables.read(TABLES / "stability.csv", STABILITY), {}, {}, TABLES)
    removed = reductions(runs)
    for question in suite.questions:
        for sentence in (headline(question, verdicts), by_setting(question, verdicts, removed)):
            assert sentence in html
    for kind in tables.KINDS:
        assert html.count(f'<td class="text {kind}">{kind}') == (verdicts["verdict"] == kind).sum()
    assert html.count('<td class="text">overall</td>') == (verdicts["setting"] == "overall").sum()
    assert html.count("<summary>setting by setting</summary>") == len(suite.questions) - 1, "a slope has no settings"
    assert "open, about 250 seeds needed</td>" in html
