import pytest
import yaml

from bench.suite.loading import load_suite
from bench.suite.questions import METRICS
from nisp.errors import UserError

SMALL = {
    "suite": "small",
    "title": "Small",
    "datasets": [{"name": "digits"}],
    "training": {"default": {"epochs": 1, "batch_size": 64, "learning_rate": 0.1}, "models": {"lenet": {"epochs": 2}}},
    "finetune": {"epochs": 1},
    "methods": {"nisp": {"criterion": "nisp"}, "random": {"criterion": "random", "recovery": "finetune"}},
    "experiments": [
        {"name": "one", "models": [{"name": "lenet"}], "seeds": [0, 1], "ratios": [0.5], "methods": ["nisp", "random"]}
    ],
    "questions": [
        {
            "id": "RQ1", "text": "Is it?", "claim": "It is.", "kind": "difference", "metric": "top1_final",
            "subject": "nisp", "against": ["random"], "models": ["lenet"], "ratios": [0.5],
        }
    ],
}  # fmt: skip


def changed(where, value):
    """SMALL with one place set to ``value``, or removed where it is KeyError."""
    content = yaml.safe_load(yaml.safe_dump(SMALL))
    *path, last = where
    node = content
    for part in path:
        node = node[part]
    if value is KeyError:
        del node[last]
    else:
        node[last] = value
    return content


def written(tmp_path, content):
    file = tmp_path / "mine.yaml"
    content = yaml.safe_dump(content) if isinstance(content, dict) else content
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def complaint(tmp_path, content):
    """The one sentence, printable and of bounded length, by which a suite is refused."""
    file = written(tmp_path, content)
    with pytest.raises(UserError) as caught:
        load_suite(file)
    text = str(caught.value)
    assert text.startswith(str(file)) and len(text.splitlines()) == 1 and text.isprintable() and len(text) < 1200
    assert "pydantic" not in text and "Traceback" not in text
    return text


def test_a_small_suite_expands_to_its_grid(tmp_path):
    suite = load_suite(written(tmp_path, SMALL))
    assert [(r.model.label, r.method, r.seed, r.ratio) for r in suite.runs] == [
        ("lenet", method, seed, 0.5) for seed in (0, 1) for method in ("nisp", "random")
    ]
    assert len(suite.prune_jobs) == 4 and len(suite.base_jobs) == 2
    assert suite.recipe(suite.models[0]).epochs == 2
    bundled = load_suite(written(tmp_path, changed(["bundle"], ["seed", "method"])))
    assert list(bundled.prune_jobs) == [("digits", "lenet", "all", "all", "0.5")]


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        (["methds"], {}, ["methds", "not a known key", "methods"]),
        (["finetune", "epoch"], 3, ["finetune.epoch", "allowed are epochs, learning_rate_factor"]),
        (["training", "default", "lr"], 0.1, ["training.default.lr", "learning_rate"]),
        (["experiments", 0, "ratio"], [0.1], ["experiments.0.ratio", "ratios"]),
        (["experiments", 0, "ratios"], [1.2], ["experiments.0.ratios.0", "less than 1", "1.2"]),
        (["experiments", 0, "ratios"], [0.0], ["experiments.0.ratios.0", "greater than 0"]),
        (["experiments", 0, "ratios"], [float("nan")], ["experiments.0.ratios.0"]),
        (["experiments", 0, "ratios"], ["half"], ["experiments.0.ratios.0", "'half'"]),
        (["experiments", 0, "ratios"], [0.5, 0.5], ["experiments.0.ratios", "0.5 is given twice"]),
        (["experiments", 0, "seeds"], [3, 3], ["experiments.0.seeds", "3 is given twice"]),
        (["experiments", 0, "seeds"], [-1], ["experiments.0.seeds.0", "-1"]),
        (["experiments", 0, "seeds"], [], ["experiments.0.seeds", "at least 1 item"]),
        (["experiments", 0, "seeds"], 7, ["experiments.0.seeds"]),
        (["experiments", 0, "datasets"], ["mnist"], ["'one' names the data set 'mnist'", "digits"]),
        (["experiments", 0, "plans"], ["steep"], ["'one' names the plan 'steep'", "uniform"]),
        (["experiments", 0, "methods"], ["nips"], ["'one'", "'nips'", "nisp, random"]),
        (["experiments", 0, "models"], [{"name": "lenett"}], ["experiments.0.models.0", "'lenett'", "lenet, plain"]),
        (["experiments", 0, "models"], [{"name": "plain"}], ["needs a depth", "4, 6, 8"]),
        (["experiments", 0, "models"], [{"name": "plain", "depth": 5}], ["no depth 5", "4, 6, 8"]),
        (["experiments", 0, "models"], [{"name": "lenet", "depth": 5}], ["no depth 5", "there is only one"]),
        (["datasets", 0, "name"], "digit", ["datasets.0", "'digit'", "digits"]),
        (["datasets", 0, "split_seed"], "x", ["datasets.0.split_seed", "'x'"]),
        (["datasets"], [], ["datasets", "at least 1 item"]),
        (["datasets", 0, "image_size"], 64, ["datasets.0", "'digits' has images of one size only"]),
        (["datasets"], [{"name": "imagenet", "image_size": 2}], ["datasets.0.image_size", "8"]),
        (["datasets"], [{"name": "digits"}, {"name": "digits", "split_seed": 1}], ["datasets", "digits", "twice"]),
        (["methods", "nisp", "criterion"], "nips", ["methods.nisp", "'nips'", "lbl, nisp, nisp_mag"]),
        (["methods", "nisp", "options"], {"alpah": 1}, ["no option 'alpah'", "alpha, variant, joint"]),
        (["methods", "nisp", "recovery"], "pray", ["methods.nisp.recovery", "'pray'", "recalibrate"]),
        (["methods", "nisp", "reconstruction"], "ls", ["methods.nisp.reconstruction", "'least_squares' or 'mean'"]),
        (["methods", "a/b"], {"criterion": "nisp"}, ["a/b"]),
        (["methods", "$(rm)"], {"criterion": "nisp"}, ["$(rm)"]),
        (["suite"], "../up", ["suite", "../up"]),
        (["suite"], KeyError, ["suite", "required"]),
        (["training", "models", "lenet"], {"epochs": 0}, ["epochs"]),
        (["training", "models", "lenett"], {"epochs": 1}, ["'lenett'", "lenet"]),
        (["training", "default", "schedule"], "magic", ["schedule", "cosine", "'magic'"]),
        (["questions", 0, "metric"], "accuracy", ["'accuracy'", *METRICS]),
        (["questions", 0, "against"], ["magnitude"], ["'RQ1'", "'magnitude'", "no experiment runs"]),
        (["questions", 0, "models"], ["plain-6"], ["'RQ1'", "'plain-6'", "lenet"]),
        (["questions", 0, "ratios"], [0.25], ["'RQ1'", "0.25"]),
        (["questions", 0, "kind"], "feeling", ["kind", "noninferiority"]),
        (["questions", 0, "kind"], "noninferiority", ["questions.0", "'margin'", "in top1_final that does not matter"]),
        (["questions", 0, "kind"], "slope", ["questions.0", "'margin'", "in top1_final per layer that"]),
        (["questions", 0, "metric"], "ware", ["questions.0", "'margin'", "in ware that"]),
        (["questions", 0, "metric"], "agreement_top1", ["questions.0", "'margin'"]),
        (["questions", 0, "margin"], 0, ["questions.0.margin", "greater than 0"]),
        (["bundle"], ["seed", "model"], ["bundle.1", "'model'"]),
    ],
)
def test_a_mistake_is_told_with_file_key_and_what_is_allowed(tmp_path, where, value, told):
    text = complaint(tmp_path, changed(where, value))
    for part in told:
        assert part in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("suite: [", "not valid YAML"),
        ("", "must be a mapping"),
        ("- a\n- b", "must be a mapping"),
        ("suite: a\nsuite: b", "'suite' is given twice"),
        ("1: 2", "every key must be a string"),
        ("suite: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_what_is_no_suite_at_all_is_told(tmp_path, text, told):
    assert told in complaint(tmp_path, text)


def test_a_suite_that_is_not_there_is_told_with_those_that_are(tmp_path):
    written(tmp_path, SMALL)
    with pytest.raises(UserError, match=r"no suite file .*other\.yaml.* are mine$"):
        load_suite(tmp_path / "other.yaml")


def test_binary_files_are_told(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(UserError, match="cannot be read"):
        load_suite(tmp_path / "mine.yaml")


def test_digests_change_with_what_they_depend_on_and_nothing_else(tmp_path):
    suite = load_suite(written(tmp_path, SMALL))
    run = suite.runs[0]
    other = load_suite(written(tmp_path, changed(["finetune", "epochs"], 2)))
    longer = load_suite(written(tmp_path, changed(["training", "models", "lenet", "epochs"], 3)))
    renamed = load_suite(written(tmp_path, changed(["title"], "Other")))
    assert suite.run_digest(run) == renamed.run_digest(run) != other.run_digest(run)
    base = (run.dataset, run.model, run.seed)
    assert suite.base_digest(*base) == other.base_digest(*base) != longer.base_digest(*base)
    assert len({suite.run_digest(r) for r in suite.runs}) == len(suite.runs)


def test_a_new_seed_touches_only_its_own_jobs(tmp_path):
    before = load_suite(written(tmp_path, SMALL))
    after = load_suite(written(tmp_path, changed(["experiments", 0, "seeds"], [0, 1, 2])))
    digests = {job: after.prune_job_digest(job) for job in after.prune_jobs}
    assert all(digests[job] == before.prune_job_digest(job) for job in before.prune_jobs)
    assert len(digests) == len(before.prune_jobs) + 2


def test_a_difference_of_top1_has_a_margin_of_one_point_unless_it_says_otherwise(tmp_path):
    [question] = load_suite(written(tmp_path, SMALL)).questions
    assert (question.margin, question.equivalence, question.null) == (1.0, 1.0, 0.0)
    [question] = load_suite(written(tmp_path, changed(["questions", 0, "margin"], 0.25))).questions
    assert (question.margin, question.equivalence, question.null) == (0.25, 0.25, 0.0)
    [question] = load_suite(
        written(tmp_path, changed(["questions", 0], SMALL["questions"][0] | {"kind": "noninferiority", "margin": 2}))
    ).questions
    assert (question.margin, question.equivalence, question.null) == (2.0, None, -2.0)


def test_two_seeds_must_have_all_ratios_of_a_question(tmp_path):
    """Seeds 0 and 1 at one ratio, 1 and 2 at the other: only one seed can be averaged."""
    experiment = SMALL["experiments"][0]
    halves = [
        experiment | {"name": f"e{index}", "seeds": seeds, "ratios": [ratio]}
        for index, (seeds, ratio) in enumerate((([0, 1], 0.5), ([1, 2], 0.25)))
    ]
    content = changed(["experiments"], halves) | {"questions": [SMALL["questions"][0] | {"ratios": [0.25, 0.5]}]}
    assert "at ratio 0.25, 0.5, where they have fewer than two seeds in common" in complaint(tmp_path, content)


def test_two_seeds_must_have_all_depths_of_a_slope(tmp_path):
    experiment = SMALL["experiments"][0]
    halves = [
        experiment | {"name": f"e{depth}", "seeds": seeds, "models": [{"name": "plain", "depth": depth}]}
        for depth, seeds in ((4, [0, 1]), (6, [1, 2]))
    ]
    slope = SMALL["questions"][0] | {"kind": "slope", "margin": 1.0, "models": ["plain-4", "plain-6"]}
    content = changed(["experiments"], halves) | {"questions": [slope]}
    content["training"].pop("models")
    assert "on 'plain-4, plain-6' at ratio 0.5, where they have fewer" in complaint(tmp_path, content)
    content["questions"] = [slope | {"kind": "difference"}]
    assert load_suite(written(tmp_path, content)).questions[0].kind == "difference"
