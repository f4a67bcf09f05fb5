"""Plans: what they say, and every problem of one at once."""

from __future__ import annotations

import pytest

from tasks.benchmark.plan import PlanError, Source
from tasks.benchmark.plan_reader import read_plan

TOY = "configs/classification/toy/resnet18_toy.py"


def write(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def problems(folder, text, **others):
    try:
        return read_plan(write(folder, text), **others).problems
    except PlanError as error:
        return error.problems


def test_a_plan_shares_what_its_models_do_not_say(tmp_path):
    plan = read_plan(
        write(
            tmp_path,
            f"""
processes: 2
norms: [BN, SN]
seeds: [3, 5]
retries: 0
options: {{train_cfg.max_epochs: 1}}
tasks:
  classification:
  - {{model: A, config: {TOY}, toy_data: imagenet}}
  - {{model: B, config: {TOY}, norms: [SSN], processes: 1, batch_settings: [1x8, 2x4],
      options: {{train_cfg.max_epochs: 2}}, norm_options: {{SSN: {{a.b: 1}}}}, minutes: 2}}
""",
        )
    )
    assert (plan.name, plan.seeds, plan.retries, plan.iterations) == ("mine", (3, 5), 0, None)
    first, second = plan.entries
    assert (first.task, first.model, first.norms) == ("classification", "A", ("BN", "SN"))
    assert (first.processes, first.batch_settings, first.toy_data) == (2, (None,), "imagenet")
    assert plan.options == first.options == {"train_cfg.max_epochs": 1}
    assert (second.norms, second.processes, second.minutes) == (("SSN",), 1, 2)
    assert second.batch_settings == ("1x8", "2x4")
    assert second.options == {"train_cfg.max_epochs": 2}
    assert second.norm_options == {"SSN": {"a.b": 1}}
    assert first.sound
    assert second.sound
    assert plan.problems == ()


def test_norms_seeds_and_iterations_of_the_command_replace_those_of_the_plan(tmp_path):
    text = f"""
norms: [BN]
tasks: {{classification: [{{model: A, config: {TOY}, norms: [GN]}}]}}
"""
    plan = read_plan(write(tmp_path, text), norms=["SN"], seeds=[7], iterations=3)
    assert plan.entries[0].norms == ("SN",)
    assert (plan.seeds, plan.iterations) == ((7,), 3)
    assert "'XN' is unknown" in problems(tmp_path, text, norms=["XN"])[0]


def test_one_norm_needs_no_brackets(tmp_path):
    plan = read_plan(
        write(tmp_path, f"{{norms: SN, tasks: {{face: [{{model: A, config: {TOY}}}]}}}}")
    )
    assert plan.entries[0].norms == ("SN",)


def test_every_problem_is_listed_at_once(tmp_path):
    found = problems(
        tmp_path,
        f"""
norms: [BN, sn]
seeds: [0, 0, 1]
procesess: 2
retries: -1
tasks:
  detecton: []
  face: {{model: A}}
  video: [3]
  classification:
  - {{model: A}}
  - {{model: B, config: configs/no.py, toy_data: image, batch_settings: [8], minutes: soon}}
  - {{model: C, config: {TOY}, colour: red, options: [1], batch_settings: [8by4],
      norm_options: {{XN: {{}}, BN: 3}}}}
  - {{rows: some, model: A}}
  - {{model: D, config: [a], norms: [], pretrained: {{batch: 8x4}}}}
""",
    )
    expected = [
        "key 'procesess' is unknown; did you mean 'processes'?",
        "tasks: 'detecton' is unknown; did you mean 'detection'?",
        "tasks.face is {'model': 'A'}; it must be a list of models",
        "tasks.video[0] is 3",
        "tasks.classification[0] needs model and config, or rows",
        "configs/no.py does not exist",
        "tasks.classification[1].toy_data: 'image' is unknown; did you mean 'imagenet'?",
        "batch_settings is [8]; it must be a list of str",
        "did you mean 'SN'?",
        "tasks.classification[1].minutes is 'soon'",
        "tasks.classification[2]: key 'colour' is unknown",
        "tasks.classification[2]: options is [1]",
        "batch_settings has '8by4'",
        "norm_options: 'XN' is unknown",
        "norm_options.BN must have keys with values",
        "tasks.classification[3].rows is 'some'; it must be published or all",
        "tasks.classification[3] has rows, which say what model would",
        "norms: 'sn' is unknown",
        "seeds names 0 more than once",
        "retries is -1; it must be a whole number from 0 on",
        "tasks.classification[4].config is ['a']; it must be one word or name",
        "tasks.classification[4] has no norms, nor has the plan",
        "tasks.classification[4].pretrained: key 'batch' is unknown",
        "tasks.classification[4].pretrained needs model",
    ]
    for words in expected:
        assert [problem for problem in found if words in problem], words
    assert len(found) == len(expected) - 1  # one is named in two parts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "holds list, not keys with values"),
        ("a: [", "not YAML"),
        ("{}", "tasks is missing or empty; tasks are classification, detection"),
        (f"tasks: {{face: [{{model: A, config: {TOY}}}]}}", "has no norms, nor has the plan"),
    ],
)
def test_what_is_no_plan(tmp_path, text, words):
    assert words in problems(tmp_path, text)[0]


def test_what_can_be_understood_of_a_plan_with_problems(tmp_path):
    plan = read_plan(
        write(
            tmp_path,
            f"""
norms: [SN, XN]
batch_settings: [1x8, 8by4]
tasks:
  face:
  - {{model: A, config: {TOY}}}
  - {{model: B, config: {TOY}, norms: [BN], colour: red}}
""",
        )
    )
    assert len(plan.problems) == 3
    first, second = plan.entries
    assert (first.norms, first.batch_settings) == (("SN",), ("1x8",))
    assert (second.norms, second.config) == (("BN",), TOY)
    assert not first.sound
    assert not second.sound


def test_what_is_wrong_with_one_model_says_nothing_of_another(tmp_path):
    text = f"""
norms: [SN]
tasks:
  face: [{{model: A, config: {TOY}, minutes: soon}}, {{model: B, config: {TOY}}}]
"""
    assert [entry.sound for entry in read_plan(write(tmp_path, text)).entries] == [False, True]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("ResNet-50", Source("ResNet-50")),
        ("{model: A, batch_setting: 8x4}", Source("A", batch_setting="8x4")),
        ("{model: A, task: face}", Source("A", task="face")),
    ],
)
def test_where_the_weights_of_a_backbone_come_from(tmp_path, text, source):
    entry = f"{{model: B, norms: [SN], config: {TOY}, pretrained: {text}}}"
    plan = read_plan(write(tmp_path, f"tasks: {{face: [{entry}]}}"))
    assert plan.entries[0].pretrained == source
