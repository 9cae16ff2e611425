"""Before anything runs: init, validate, plan, schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from fieldlab.cli.errors import ExitCode
from tests.cli.program import document, invoke, write_experiment


@pytest.mark.parametrize("kind", ["function", "command"])
def test_what_init_writes_runs_as_it_is(folder: Path, kind: str) -> None:
    result = invoke("init", "first", "--kind", kind)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[-2:] == [
        "  fieldlab run experiment.yaml",
        "  fieldlab results first",
    ]
    assert (folder / "experiment.yaml").read_text().endswith("\n")
    ran = invoke("run", "experiment.yaml", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert document(ran)["name"] == "first.1"
    assert document(ran)["succeeded"] == 20


def test_init_names_the_experiment_after_its_folder(folder: Path) -> None:
    result = invoke("init", "--dir", "queueing", "--json")
    assert document(result)["files"][0] == "queueing/experiment.yaml"
    assert 'name: "queueing"' in (folder / "queueing" / "experiment.yaml").read_text()


def test_init_says_how_to_get_to_a_lab_of_its_own(folder: Path) -> None:
    said = invoke("init", "--dir", "my queues").stderr.splitlines()
    assert said[-3:] == [
        "  cd 'my queues'",
        "  fieldlab run experiment.yaml",
        "  fieldlab results experiment",
    ]


def test_init_overwrites_nothing(folder: Path) -> None:
    (folder / "study.py").write_text("mine")
    result = invoke("init", "first")
    assert result.exit_code == 2
    assert "study.py is there already" in result.stderr
    assert (folder / "study.py").read_text() == "mine"
    assert [path.name for path in folder.iterdir()] == ["study.py"]


def test_init_can_make_the_lab_alone(folder: Path) -> None:
    assert invoke("init", "--bare").exit_code == 0
    assert [path.name for path in folder.iterdir()] == [".fieldlab"]
    assert invoke("status").exit_code == 0


def test_init_refuses_a_name_that_leaves_the_folder(folder: Path) -> None:
    result = invoke("init", "../elsewhere")
    assert result.exit_code == 2
    assert list(folder.iterdir()) == []


def test_git_is_told_to_keep_nothing_of_the_lab(folder: Path) -> None:
    invoke("run", write_experiment(folder))
    assert (folder / ".fieldlab" / ".gitignore").read_text() == "*\n"


def test_validate_says_what_would_run_and_makes_nothing(folder: Path) -> None:
    file = write_experiment(folder, more="description: x")
    result = invoke("validate", file)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{file} is right: sums runs study.py:add",
        "  4 trials over a, 2 slots",
    ]
    assert not (folder / ".fieldlab").exists()


def test_validate_lists_everything_that_is_wrong_with_its_line(folder: Path) -> None:
    file = folder / "bad.yaml"
    file.write_text("name: a\ntool: {function: 'f.py:g'}\nspace: {matrix: {a: []}}\ngaurd: 3\n")
    result = invoke("validate", "bad.yaml")
    assert result.exit_code == 2
    assert "bad.yaml:3: space.matrix.a" in result.stderr
    assert "bad.yaml:4: gaurd" in result.stderr
    problems = json.loads(invoke("validate", "bad.yaml", "--json").stderr)["problems"]
    assert [(each["line"], each["key"]) for each in problems] == [
        (3, "space.matrix.a"),
        (4, "gaurd"),
    ]


def test_validate_tries_the_tool(folder: Path) -> None:
    file = write_experiment(folder, "missing")
    result = invoke("validate", file)
    assert result.exit_code == 2
    assert "missing" in result.stderr


def test_a_plan_counts_trials_and_shows_both_ends(folder: Path) -> None:
    file = write_experiment(folder, a="{range: [1, 50]}")
    file.write_text(file.read_text().replace("}}}", "}}, repeat: 3}"))
    result = invoke("plan", file, "--json")
    assert result.exit_code == 0, result.stderr
    plan = document(result)
    assert (plan["points"], plan["repeat"], plan["trials"], plan["missing"]) == (50, 3, 150, 150)
    assert plan["first"][0]["parameters"] == {"a": 1}
    assert plan["last"][-1] | {"fingerprint": ""} == {
        "position": 149,
        "trial": "a=50 #3",
        "parameters": {"a": 50},
        "repeat": 3,
        "fingerprint": "",
    }
    said = invoke("plan", file).stdout
    assert "150 trials over a: 50 points × 3 repeats" in said
    assert "\n         1  a=1\n" in said
    assert said.endswith("\n       150  a=50 #3\n")
    assert not (folder / ".fieldlab").exists()


def test_a_plan_of_a_huge_space_is_made_without_walking_it(folder: Path) -> None:
    file = write_experiment(folder, a="{range: [1, 1000000]}, b: {range: [1, 1000000]}")
    plan = document(invoke("plan", file, "--json"))
    assert plan["trials"] == 10**12
    assert plan["last"][-1]["parameters"] == {"a": 10**6, "b": 10**6}


def test_a_plan_says_when_exclusions_are_decided_while_running(folder: Path) -> None:
    file = write_experiment(folder, a="{range: [1, 1000000]}, b: {range: [1, 1000000]}")
    file.write_text(file.read_text().replace("}}}", "}}, exclude: ['(a * b) % 7 == 3']}"))
    result = invoke("plan", file)
    assert result.exit_code == 0, result.stderr
    assert "the number of trials is not known in advance" in result.stdout
    assert document(invoke("plan", file, "--json"))["trials"] is None


def test_a_plan_knows_what_is_recorded(folder: Path) -> None:
    file = write_experiment(folder)
    assert invoke("run", file).exit_code == 0
    plan = document(invoke("plan", file, "--json"))
    assert (plan["campaign"], plan["recorded"], plan["missing"]) == ("sums.1", 4, 0)
    assert "goes on with sums.1 (finished): 4 recorded, 0 missing" in invoke("plan", file).stdout


def test_a_plan_of_a_larger_space_counts_what_is_missing(folder: Path) -> None:
    assert invoke("run", write_experiment(folder)).exit_code == 0
    file = write_experiment(folder, a="[3, 4, 5]")
    plan = document(invoke("plan", file, "--json"))
    assert (plan["campaign"], plan["recorded"], plan["missing"]) == (None, 4, 1)
    assert "1 trial of this space is missing" in invoke("plan", file).stdout
    ran = document(invoke("run", file, "--json"))
    assert (ran["name"], ran["succeeded"], ran["skipped"]) == ("sums.2", 1, 2)


def test_a_plan_says_that_another_tool_makes_a_new_version(folder: Path) -> None:
    assert invoke("run", write_experiment(folder)).exit_code == 0
    file = write_experiment(folder, "fail")
    assert document(invoke("plan", file, "--json"))["version"] == 2
    said = invoke("plan", file).stdout
    assert "the tool changed since sums.1" in said
    assert "the results of version 1 stay in table results_sums" in said


def test_the_schema_takes_what_init_writes(folder: Path) -> None:
    result = invoke("schema")
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(
        {"name": "a", "tool": {"function": "f.py:g"}, "space": {"matrix": {"x": [1]}}}, schema
    )


SEARCHED = """\
name: a
tool: {command: ["true"]}
space:
  matrix: {x: {range: [1, 1000000]}, z: {range: [1, 1000000]}}
  exclude: ["EXCLUDED"]
"""


@pytest.mark.parametrize("words", [("validate",), ("plan",), ("run", "--for", "100ms")])
def test_exclusions_that_seem_to_leave_nothing_are_warned_of(
    words: tuple[str, ...], folder: Path
) -> None:
    file = folder / "a.yaml"
    file.write_text(SEARCHED.replace("EXCLUDED", "x + z > 0"))
    result = invoke(words[0], file, *words[1:])
    assert result.exit_code == ExitCode.DONE
    assert f"Warning: {file}:5: space.exclude: none of the first" in result.stderr
    assert "random ones among 1,000,000,000,000 " not in result.stdout
    file.write_text(SEARCHED.replace("EXCLUDED", "x + z > 1000000"))
    assert "Warning" not in invoke("validate", file).stderr


def test_a_plan_of_nothing_says_so(folder: Path) -> None:
    file = folder / "a.yaml"
    file.write_text(SEARCHED.replace("EXCLUDED", "x + z > 0"))
    assert "No trial is left among the first 1,000 positions" in invoke("plan", file).stdout
    assert document(invoke("plan", file, "--json"))["warnings"]


def test_an_excluded_point_that_fits_none_is_warned_of(folder: Path) -> None:
    exclude = "exclude: [{a: 77}, {a: 2}]\n"
    file = write_experiment(folder)
    file.write_text(
        "name: a\ntool: {function: study.py:add}\n"
        f"space:\n  matrix: {{a: [1, 2]}}\n  include: {{a: 9}}\n  {exclude}"
    )
    result = invoke("validate", file)
    assert result.exit_code == ExitCode.DONE
    assert "6: space.exclude[0]: no point of the space has a: 77, so nothing" in result.stderr
    assert result.stderr.count("Warning") == 1
    file.write_text(file.read_text().replace("77", "9"))
    assert "Warning" not in invoke("validate", file).stderr


def test_samples_without_an_end_say_so(folder: Path) -> None:
    write_experiment(folder)
    file = folder / "b.yaml"
    for more in ("", "  exclude: ['a > 0.5']\n"):
        file.write_text(
            "name: b\ntool: {function: study.py:add}\n"
            f"space:\n  matrix: {{a: {{uniform: [0, 1]}}}}\n  sample: {{seed: 1}}\n{more}"
        )
        for command in ("validate", "plan"):
            said = invoke(command, file).stdout
            assert "trials over a without an end: `--for 8h` stops them" in said
            assert "not known" not in said


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_unknown_people_and_projects_are_told_together(command: str, folder: Path) -> None:
    file = write_experiment(folder, more="project: p\nexperimenter: e\nfunding: f")
    if command != "run":
        assert invoke(command, file).exit_code == ExitCode.DONE, "there is no lab to look in"
    assert invoke("init", "--bare").exit_code == ExitCode.DONE
    result = invoke(command, file)
    assert result.exit_code == ExitCode.BAD_INPUT
    for line, kind in ((5, "project"), (6, "experimenter"), (7, "funding")):
        assert f"{file}:{line}: {kind}: There is no {kind} '{kind[0]}'. Add it" in result.stderr


@pytest.mark.parametrize(
    "wrong", ["'{nothing}'], read: {format: json}", "x], read: {format: yaml}", "'{a b}']"]
)
def test_other_mistakes_hide_no_missing_program(wrong: str, folder: Path) -> None:
    file = folder / "a.yaml"
    file.write_text(
        "name: a\nspace: {matrix: {a: [1]}}\n"
        f"tool: {{command: [no-such-program-anywhere, {wrong}}}\n"
    )
    result = invoke("validate", file)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "Error: 2 problems" in result.stderr
    assert "3: tool.command[0]: There is no program 'no-such-program-anywhere'" in result.stderr
