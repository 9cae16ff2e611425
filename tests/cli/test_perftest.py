"""The group `perftest`: import, run and summary."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import document, invoke
from tests.workflows.perftest.autoperf import (
    HEADING,
    MACHINES,
    QOS,
    campaign,
    status_row,
    write,
    write_ess,
)
from tests.workflows.perftest.samples import LATENCY, THROUGHPUT
from tests.workflows.perftest.test_summaries import ONE, write_test

# --- import ------------------------------------------------------------------------------------


def test_import_writes_a_definition_per_campaign_and_their_site(folder: Path) -> None:
    machines = [{**each, "ssh_key_path": "none"} for each in MACHINES]
    config = write(folder, campaign(slave_machines=machines))
    result = invoke("perftest", "import", config, "--into", "out dir")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (folder / "out dir").iterdir()) == [
        "pcg-1.yaml",
        "sites.toml",
    ]
    assert "'PCG #1' is called pcg-1" in result.stderr
    # that this machine lacks the key is no fault of the configuration
    place = r"bench\.json:\d+: \[0\]\.slave_machines\[0\]\.ssh_key_path: the private key"
    assert re.search(place, result.stderr)
    assert "cat 'out dir/sites.toml' >> 'out dir/fieldlab.toml'" in result.stderr
    assert "fieldlab run 'out dir/pcg-1.yaml'" in result.stderr


def test_import_overwrites_nothing_unless_it_is_forced(folder: Path) -> None:
    config = write(folder, campaign(), campaign(campaign_name="b"))
    (folder / "b.yaml").write_text("mine")
    refused = invoke("perftest", "import", config)
    assert refused.exit_code == 2
    assert "b.yaml is there already; nothing was written" in refused.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["b.yaml", "bench.json"]
    assert invoke("perftest", "import", config, "--force").exit_code == 0
    assert (folder / "b.yaml").read_text() != "mine"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_bad_configuration_writes_nothing(folder: Path) -> None:
    config = write(folder, campaign(), campaign(qos_settings={**QOS, "pub_count": []}))
    result = invoke("perftest", "import", config, "--into", "out")
    assert result.exit_code == 2
    assert "pub_count has no value" in result.stderr
    assert not (folder / "out").exists()


def test_import_leaves_out_what_a_spreadsheet_says_is_done(folder: Path) -> None:
    config = write(folder, campaign())
    done = status_row("30SEC_100B_1P_1S_REL_UC_0DUR_100LC")
    ess = write_ess(folder, done, "oops,oops")
    result = invoke("perftest", "import", config, "--ess", ess, "--json")
    (found,) = document(result)["campaigns"]
    assert (found["name"], found["done"], found["complete"]) == ("pcg-1", 1, False)
    assert "ess.csv:3: the row has 2 fields" in result.stderr


def test_import_of_a_campaign_that_is_done(folder: Path) -> None:
    name = "30SEC_100B_1P_1S_REL_UC_0DUR_100LC"
    config = write(folder, campaign(custom_test_list=[name]))
    result = invoke("perftest", "import", config, "--ess", write_ess(folder, status_row(name)))
    assert result.exit_code == 0
    assert "PCG #1: all its tests are done" in result.stderr
    assert not (folder / "pcg-1.yaml").exists()


# --- run ---------------------------------------------------------------------------------------


def test_run_refuses_a_private_key_that_cannot_be_read(folder: Path) -> None:
    machines = [{**each, "ssh_key_path": "none"} for each in MACHINES]
    result = invoke("perftest", "run", write(folder, campaign(slave_machines=machines)))
    assert result.exit_code == 2
    assert "[0].slave_machines[1].ssh_key_path: the private key none of 'p2'" in result.stderr


def test_run_of_campaigns_that_are_done_has_nothing_to_do(folder: Path) -> None:
    name = "30SEC_100B_1P_1S_REL_UC_0DUR_100LC"
    (folder / "id").touch()
    machines = [{**each, "ssh_key_path": str(folder / "id")} for each in MACHINES]
    config = write(folder, campaign(custom_test_list=[name], slave_machines=machines))
    result = invoke("perftest", "run", config, "--ess", write_ess(folder, status_row(name)))
    assert result.exit_code == 0, result.output


# --- summary -----------------------------------------------------------------------------------


def test_summary_of_folders(folder: Path) -> None:
    write_test(folder / "data")
    result = invoke("perftest", "summary", "data", "--csv", "a.csv", "--plot", "a.png")
    assert result.exit_code == 0, result.output
    assert ONE in result.stdout
    (row,) = csv.DictReader((folder / "a.csv").read_text().splitlines())
    assert (row["test"], row["sub_count"], row["throughput_mbps"]) == (ONE, "2", "2.4")
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")


def test_summary_as_json_says_what_is_missing(folder: Path) -> None:
    write_test(folder / "data", pub_0=LATENCY, sub_0=THROUGHPUT)
    result = invoke("perftest", "summary", "data", "--json")
    (row,) = document(result)
    assert (row["status"], row["latency_p99_us"]) == ("file_count_mismatch", 201738760)
    assert "2 of 3 files are there: sub_1 wrote none" in result.stderr


def test_summary_shows_other_tests_where_a_file_is_bad(folder: Path) -> None:
    write_test(folder / "data")
    bad = LATENCY.replace("           100,", "1e400,")
    write_test(folder / "data", ONE.replace("30SEC", "40SEC"), pub_0=bad, sub_0=THROUGHPUT)
    result = invoke("perftest", "summary", "data", "--json")
    assert result.exit_code == 0, result.output
    assert "pub_0.csv: line 4: the length is inf bytes" in result.stderr
    assert {row["status"] for row in document(result)} == {"success", "file_count_mismatch"}


def test_summary_against_what_was_before(folder: Path) -> None:
    write_test(folder / "old")
    slower = THROUGHPUT.replace("1.2,           10", "0.6,           10")
    write_test(folder / "new", pub_0=LATENCY, sub_0=slower, sub_1=slower)
    write_test(folder / "new", ONE.replace("30SEC", "60SEC"))
    result = invoke("perftest", "summary", "new", "--against", "old", "--plot", "a.png")
    assert result.exit_code == 0, result.output
    assert "1 result of 1 test got worse" in result.stderr
    assert "1 test was not there before" in result.stderr
    assert (folder / "a.png").exists()
    again = invoke("perftest", "summary", "new", "--against", "old", "--json")
    by_metric = {each["metric"]: each for each in document(again)}
    assert by_metric["throughput_mbps"]["regressed"] is True
    assert by_metric["throughput_mbps"]["ratio"] == pytest.approx(0.5)
    lenient = invoke("perftest", "summary", "new", "--against", "old", "--threshold", "60")
    assert "Nothing got worse" in lenient.stderr


def test_summary_of_what_a_lab_recorded(folder: Path) -> None:
    (folder / "study.py").write_text(
        "def run(size, repeat):\n"
        "    return {'throughput_mbps': size * 10.0 + repeat, 'latency_mean_us': 5.0}\n"
    )
    (folder / "e.json").write_text(
        json.dumps(
            {
                "name": "bench",
                "tool": {"function": "study.py:run"},
                "space": {"matrix": {"size": [1, 2]}, "repeat": 2},
                "executor": {"local": {"slots": 1}},
            }
        )
    )
    assert invoke("run", "e.json").exit_code == 0
    rows = document(invoke("perftest", "summary", "bench", "--json"))
    assert [(row["test"], row["repeats"]) for row in rows] == [("size=1", 2), ("size=2", 2)]
    assert rows[1]["throughput_mbps"] - rows[0]["throughput_mbps"] == pytest.approx(10)


def test_summary_of_nothing(folder: Path) -> None:
    result = invoke("perftest", "summary", "none")
    assert result.exit_code == 2
    assert "There is neither a folder 'none' nor a lab here" in result.stderr


# --- definitions with these tools --------------------------------------------------------------

PROCESSES = """\
name: load
tool:
  processes:
    roles: {server: 1}
    run:
      - name: server
        role: server
        command: [serve, "{sise}"]
space: {matrix: {size: [1, 2]}}
"""


def test_what_a_tool_refuses_is_told_with_file_and_line(folder: Path) -> None:
    (folder / "e.yaml").write_text(PROCESSES)
    result = invoke("validate", "e.yaml")
    assert result.exit_code == 2
    assert (
        "e.yaml:8: tool.processes.run[0].command[1]: nothing fills the placeholder {sise}."
        " Did you mean 'size'?"
    ) in result.stderr


def test_a_misspelt_option_of_a_tool_is_told_with_file_and_line(folder: Path) -> None:
    (folder / "e.yaml").write_text(PROCESSES.replace("roles", "rolls"))
    result = invoke("validate", "e.yaml")
    assert "e.yaml:4: tool.processes.rolls: there is no key 'rolls' here" in result.stderr
    assert "Did you mean 'roles'?" in result.stderr


def test_a_tool_over_hosts_needs_a_site(folder: Path) -> None:
    (folder / "e.yaml").write_text(PROCESSES.replace("sise", "size"))
    result = invoke("validate", "e.yaml")
    assert result.exit_code == 2
    assert "Name a site" in result.stderr


NOISE = {
    "packet_loss": "1%",
    "packet_duplication": "1%",
    "packet_corruption": "1%",
    "bandwidth_rate": "6mbit",
    "delay": {
        "value": "10ms",
        "variation": "1ms",
        "correlation": "25%",
        "distribution": "normal",
    },
}


def test_what_import_writes_is_what_fieldlab_runs(folder: Path) -> None:
    random = campaign(combination_generation_type="rcg", rcg_target_test_count=5)
    listed = campaign(custom_test_list=["30SEC_100B_1P_1S_REL_UC_0DUR_100LC"])
    config = write(folder, campaign(), random, listed, campaign(noise_generation=NOISE))
    assert invoke("perftest", "import", config).exit_code == 0
    (folder / "sites.toml").rename(folder / "fieldlab.toml")  # as it says to do next
    for number, trials in ((0, 8), (2, 5), (3, 1), (4, 8)):
        name = f"pcg-1-{number}.yaml" if number else "pcg-1.yaml"
        result = invoke("validate", name, "--json")
        assert result.exit_code == 0, result.output
        assert document(result)["trials"] == trials


def test_wrong_values_and_unread_parameters_are_told_before_anything_runs(folder: Path) -> None:
    site = '[sites.bench]\nhosts = [{name = "a", roles = ["pub", "sub"]}]\n'
    (folder / "fieldlab.toml").write_text(site)
    matrix = {**QOS, "foo": [1], "durability_level": [0, 7], "pub_count": [0]}
    definition = {
        "name": "wrong",
        "tool": {"perftest": {}},
        "space": {"matrix": matrix},
        "executor": {"ssh": {"site": "bench"}},
    }
    file = folder / "wrong.yaml"
    file.write_text(json.dumps(definition, indent=1))
    result = invoke("validate", file)
    assert result.exit_code == 2
    place = r"wrong\.yaml:\d+: space\.matrix\."
    assert re.search(rf"{place}durability_level\[1\]: .* not 7", result.stderr)
    assert re.search(rf"{place}pub_count\[0\]: .* not 0", result.stderr)
    matrix |= {"durability_level": [0], "pub_count": [1]}
    file.write_text(json.dumps(definition, indent=1))
    result = invoke("validate", file)
    assert result.exit_code == 0, result.stderr
    said = rf"Warning: .*{place}foo: perftest has no parameter 'foo', so its values change nothing"
    assert re.search(said, result.stderr)
    file.write_text(json.dumps({**definition, "noise": {"loss_percent": "{foo}"}}, indent=1))
    assert "no parameter" not in invoke("validate", file).stderr


STUDY = """\
def run(datalen_bytes, pub_count, **others):
    if pub_count > 1:
        raise ValueError("too many")
    return {
        "latency_mean_us": datalen_bytes * 1.234567, "latency_std_us": 1.234567,
        "latency_p50_us": 123456.7, "latency_p90_us": 123456.7, "latency_p99_us": 123456.7,
        "throughput_mbps": 123.456, "loss_percent": 0.12345,
    }
"""


def run_tests(folder: Path, name: str = "bench.json", **changes: Any) -> int:
    """Run tests, of which those with several publishers fail."""
    (folder / "study.py").write_text(STUDY)
    matrix = {**QOS, "use_reliable": [True], "sub_count": [1], **changes}
    definition = {
        "name": "bench",
        "tool": {"function": "study.py:run"},
        "space": {"matrix": matrix},
        "executor": {"local": {"slots": 1}},
    }
    (folder / name).write_text(json.dumps(definition))
    return invoke("run", name).exit_code


GOOD = "30SEC_100B_1PUB_1SUB_REL_UC_0DUR_100LC"
BAD = GOOD.replace("1PUB", "50PUB")


def test_the_attempts_of_a_campaign_as_autoperf_writes_them(folder: Path) -> None:
    assert run_tests(folder) == 1
    result = invoke("perftest", "ess", "bench.1", "ess.csv")
    assert result.exit_code == 0, result.output
    lines = (folder / "ess.csv").read_text().splitlines()
    assert lines[0] == HEADING
    rows = list(csv.DictReader(lines))
    assert [(row["test_name"], row["end_status"]) for row in rows] == [
        (GOOD, "success"),
        (BAD, "ValueError: too many"),
    ]
    assert invoke("perftest", "ess", "bench").stdout.splitlines() == lines
    assert document(invoke("perftest", "ess", "bench", "--json"))[0]["test_name"] == GOOD
    assert invoke("perftest", "ess", "bench", "ess.csv").exit_code == 2
    config = write(folder, campaign(qos_settings={**QOS, "sub_count": [1]}), name="old.json")
    (live,) = (folder / ".fieldlab").rglob("*.csv")
    sheets: list[str | Path] = ["ess.csv", live]
    for number, sheet in enumerate(sheets):
        imported = invoke("perftest", "import", config, "--ess", sheet, "--into", str(number))
        assert "1 test are done and left out" in imported.stderr.replace("is done", "are done")
        assert "Warning: the row" not in imported.stderr


def test_what_is_no_test_has_no_row_of_autoperfs(folder: Path) -> None:
    (folder / "study.py").write_text("def run(x):\n    return x\n")
    text = "name: e\ntool: {function: 'study.py:run'}\nspace: {matrix: {x: [1]}}\n"
    (folder / "e.yaml").write_text(text)
    assert invoke("run", "e.yaml").exit_code == 0
    result = invoke("perftest", "ess", "e", "ess.csv")
    assert result.exit_code == 2
    assert "This is no test" in result.stderr
    assert not (folder / "ess.csv").exists()


def test_summary_shows_failed_tests_with_their_status(folder: Path) -> None:
    assert run_tests(folder) == 1
    result = invoke("perftest", "summary", "bench.1", "--json")
    assert [(row["test"], row["status"]) for row in document(result)] == [
        (GOOD, "success"),
        (BAD, "ValueError: too many"),
    ]
    assert f"{BAD}: ValueError: too many" in result.stderr


def test_summary_of_failures_alone(folder: Path) -> None:
    assert run_tests(folder, pub_count=[50]) == 1
    (row,) = document(invoke("perftest", "summary", "bench.1", "--json"))
    assert (row["test"], row["status"]) == (BAD, "ValueError: too many")
    assert BAD in invoke("perftest", "summary", "bench.1").stdout


def test_summary_of_a_campaign_has_what_earlier_ones_recorded_for_it(folder: Path) -> None:
    sizes = [100, 200]
    assert run_tests(folder, pub_count=[1], datalen_bytes=[*sizes, 300]) == 0
    assert run_tests(folder, "more.json", pub_count=[1], datalen_bytes=[*sizes, 400]) == 0
    found = document(invoke("perftest", "summary", "bench.2", "--json"))
    assert sorted(row["datalen_bytes"] for row in found) == [100, 200, 400]
    against = invoke("perftest", "summary", "bench.2", "--against", "bench.1")
    assert against.exit_code == 0, against.output
    assert "Nothing got worse" in against.stderr


def test_summary_fits_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_tests(folder, pub_count=[1]) == 0
    for width in (80, 100, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        shown = invoke("perftest", "summary", "bench").stdout.splitlines()
        assert max(map(len, shown)) <= width
        assert all(name in " ".join(shown) for name in (GOOD, "mean µs", "Mbit/s", "p99 µs"))
        assert ("p90 µs" in " ".join(shown)) == (width == 200)
    monkeypatch.setenv("COLUMNS", "80")
    assert run_tests(folder, "more.json") == 1
    shown = invoke("perftest", "summary", "bench").stdout.splitlines()
    assert max(map(len, shown)) <= 80
    assert all(said in " ".join(shown) for said in ("ValueError: too…", "mean µs", "Mbit/s"))
    compared = invoke("perftest", "summary", "bench", "--against", "bench").stdout
    assert max(map(len, compared.splitlines())) <= 80
