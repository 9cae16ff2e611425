"""AutoPerf's configurations of every generation become definitions and sites, or say what ails."""

from __future__ import annotations

import itertools
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fieldlab.definitions import from_mapping, load
from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import Point
from fieldlab.domain.parameters import sequence_from
from fieldlab.workflows.perftest.importing import ImportedCampaign, read_autoperf, slug
from fieldlab.workflows.perftest.machines import unreadable_keys
from fieldlab.workflows.perftest.parameters import TestName
from fieldlab.workflows.perftest.writing import definition_text, sites_text
from tests.workflows.perftest.autoperf import MACHINES, QOS, campaign, machine, write
from tests.workflows.staging import shared_data


def one(path: Path) -> ImportedCampaign:
    (found,) = read_autoperf(path)
    return found


def points(found: ImportedCampaign) -> list[Point]:
    sequence = sequence_from(found.definition["space"])
    assert sequence.positions is not None
    return [trial.parameters for _, trial in sequence.run(0, sequence.positions) if trial]


# --- real configurations -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "experiment", "trials"),
    [
        ("good_config_1.json", "pcg-1", 36),
        ("3pi_pcg_example.json", "pcg-1", 144),
        ("3pi_noise.json", "noise-gen-dev-test", 1),
        ("3pi_rcg_example.json", "rcg-1", 100 * 100 * 2 * 2 * 4),
        ("6mbps_fail_rerun.toml", "6mbps-fail-rerun", None),
    ],
)
def test_real_configurations_become_definitions(
    tmp_path: Path, name: str, experiment: str, trials: int | None
) -> None:
    found = one(shared_data("autoperf-configs", name))
    assert found.name == experiment
    defined = from_mapping(
        found.definition,
        tmp_path,
        tools=frozenset({"perftest"}),
        executors=frozenset({"ssh"}),
    )
    sequence = sequence_from(defined.space)
    assert sequence.positions == (trials or len(found.definition["space"]["include"]))
    assert [host.roles for host in found.site.hosts] == [("pub",), ("sub",)]


def test_a_real_list_of_tests_keeps_each_and_its_noise() -> None:
    found = one(shared_data("autoperf-configs", "6mbps_fail_rerun.toml"))
    first = TestName.parse("600SEC_512B_1PUB_1SUB_REL_MC_0DUR_100LC")
    assert found.definition["space"]["include"][0] == first.point()
    # delays and losses of 0 are no noise
    assert found.definition["noise"] == {"rate": "6mbit"}


def test_a_real_configuration_with_noise() -> None:
    found = one(shared_data("autoperf-configs", "3pi_noise.json"))
    assert found.definition["noise"] == {
        "loss_percent": 10.0,
        "duplicate_percent": 12.0,
        "corrupt_percent": 5.0,
        "rate": "1mbit",
        "delay_ms": 10.0,
        "jitter_ms": 1.0,
        "correlation_percent": 25.0,
        "distribution": "normal",
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bad_config_1.json", ":3: not JSON: it has single quotes. JSON needs double quotes"),
        ("bad_config_2.json", ":3: not JSON: it has single quotes. JSON needs double quotes"),
        ("devtest.toml", ": campaigns[0].slave_machines: no machine runs subscribers"),
    ],
)
def test_real_bad_configurations_say_where_and_what_to_do(name: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_autoperf(shared_data("autoperf-configs", name))
    assert f"{name}{said}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "missing"), [("bad_config_1.json", False), ("bad_config_2.json", True)]
)
def test_their_other_faults_show_when_the_quotes_are_right(
    tmp_path: Path, name: str, missing: bool
) -> None:
    text = shared_data("autoperf-configs", name).read_text().replace("'", '"')
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput) as caught:
        read_autoperf(tmp_path / name)
    said = str(caught.value)
    assert f"{name}:{11 if missing else 12}: [0].qos_settings.durability_level: " in said
    assert "so the product of all values is no test at all" in said
    assert ("'combination_generation_type' is missing" in said) == missing


# --- the generations ---------------------------------------------------------------------------


def test_all_combinations_come_in_the_order_of_the_keys(tmp_path: Path) -> None:
    found = one(write(tmp_path, campaign()))
    expected = [dict(zip(QOS, values, strict=True)) for values in itertools.product(*QOS.values())]
    assert points(found) == expected


def test_random_combinations_take_two_integers_for_a_range(tmp_path: Path) -> None:
    qos = {**QOS, "pub_count": [1, 3], "sub_count": [1, 2, 9], "datalen_bytes": [100, 100]}
    config = campaign(combination_generation_type="rcg", rcg_target_test_count=7, qos_settings=qos)
    space = one(write(tmp_path, config)).definition["space"]
    assert space["sample"] == {"count": 7, "seed": 1}
    assert space["matrix"]["pub_count"] == {"range": [1, 3]}
    assert space["matrix"]["sub_count"] == [1, 2, 9]
    assert space["matrix"]["datalen_bytes"] == [100]
    assert space["matrix"]["use_reliable"] == [True, False]


def test_random_combinations_without_a_number_go_on_until_all_are_run(tmp_path: Path) -> None:
    config = campaign(combination_generation_type="rcg", rcg_target_test_count=0)
    assert one(write(tmp_path, config)).definition["space"]["sample"] == {"seed": 1}


def test_the_late_generation(tmp_path: Path) -> None:
    late = {
        "name": "late",
        "gen_type": "rcg",
        "total_experiments": 5,
        "max_failures": 3,
        "max_retries": 2,
        "restart_after_retries": 1,
        "bw_rate": "10mbit",
        "qos_settings": QOS,
        "slave_machines": [
            {
                "hostname": "k1",
                "participant_type": "all",
                "ip": "10.0.0.1",
                "ssh_key_path": "~/.ssh/id_rsa",
                "username": "pi",
                "perftest_path": "/opt/perftest_cpp",
                "smart_plug_name": "plug-1",
                "smart_plug_ip": "10.0.0.99",
            },
        ],
    }
    found = one(write(tmp_path, late))
    assert found.definition["retry"] == {"attempts": 3}
    assert found.definition["guard"] == {"consecutive_failures": 3}
    assert found.definition["noise"] == {"rate": "10mbit"}
    assert found.definition["space"]["sample"]["count"] == 5
    assert found.site.hosts[0].roles == ("pub", "sub")
    assert any("restart_after_retries" in note for note in found.notes)
    # the plug is only suggested: which program switches it, nobody knows
    text = sites_text([found])
    assert '# power_cycle = ["your-plug-program", "10.0.0.99"]' in text
    assert "power_cycle" not in str(tomllib.loads(text))


def test_an_explicit_list_of_either_spelling_without_repetitions(tmp_path: Path) -> None:
    names = [
        "30SEC_100B_1PUB_1SUB_REL_UC_0DUR_100LC",
        "30SEC_100B_1P_2S_BE_MC_1DUR_100LC",
        "30SEC_100B_1P_1S_REL_UC_0DUR_100LC",
    ]
    config = campaign(custom_test_list=names, combination_generation_type="", qos_settings=None)
    found = one(write(tmp_path, config))
    assert points(found) == [TestName.parse(name).point() for name in names[:2]]
    assert "1 tests of 'custom_test_list' are there twice, and are run once" in found.notes


def test_noise_is_made_on_an_interface_of_which_configurations_say_nothing(
    tmp_path: Path,
) -> None:
    quiet = write(tmp_path, campaign())
    noisy = write(tmp_path, campaign(bw_rate="6mbit"), name="noisy.json")
    for path, given, interface in (
        (quiet, "", ""),
        (quiet, "eth1", "eth1"),
        (noisy, "", "eth0"),
        (noisy, "eth1", "eth1"),
    ):
        (found,) = read_autoperf(path, interface=given)
        assert {each.interface for each in found.site.hosts} == {interface}
        written = tomllib.loads(sites_text([found]))["sites"][path.stem]
        assert written.get("interface", "") == interface


def test_where_perftest_lies_may_differ_between_machines(tmp_path: Path) -> None:
    other = machine("p3", "sub", "10.0.0.3", perftest_exec_path="/opt/x")
    found = one(write(tmp_path, campaign(slave_machines=[*MACHINES, other])))
    assert found.definition["tool"] == {
        "perftest": {"executable": "~/rti/perftest_publisher", "executables": {"p3": "/opt/x"}}
    }


def test_campaigns_on_the_same_machines_share_a_site_and_names_differ(tmp_path: Path) -> None:
    others = [machine("k1", "all", "10.0.0.9")]
    path = write(tmp_path, campaign(), campaign(), campaign(slave_machines=others))
    found = read_autoperf(path)
    assert [each.name for each in found] == ["pcg-1", "pcg-1-2", "pcg-1-3"]
    assert [each.site.name for each in found] == ["bench", "bench", "bench-2"]


@pytest.mark.parametrize(
    ("title", "name"),
    [("PCG #1", "pcg-1"), ("ok_name", "ok_name"), ("äöü", "campaign"), ("a" * 90, "a" * 60)],
)
def test_names(title: str, name: str) -> None:
    assert slug(title) == name


# --- what is written ---------------------------------------------------------------------------


def test_a_written_definition_reads_back_as_it_was(tmp_path: Path) -> None:
    found = one(write(tmp_path, campaign(campaign_name='Pi\'s "6 Mbit/s": #1')))
    file = tmp_path / "e.yaml"
    file.write_text(definition_text(found))
    read = load(file, tools=frozenset({"perftest"}), executors=frozenset({"ssh"}))
    assert read.space == found.definition["space"]
    assert read.description == found.definition["description"]
    assert read.tool.options == found.definition["tool"]["perftest"]
    assert read.executor.options["site"] == "bench"


def test_a_written_site_is_toml(tmp_path: Path) -> None:
    machines = [MACHINES[0], machine("p2", "all", "10.0.0.2", username="root")]
    found = one(write(tmp_path, campaign(slave_machines=machines)))
    assert tomllib.loads(sites_text([found])) == {
        "sites": {
            "bench": {
                "key": "~/.ssh/id_rsa",
                "hosts": [
                    {"name": "p1", "address": "10.0.0.1", "user": "pi", "roles": ["pub"]},
                    {"name": "p2", "address": "10.0.0.2", "user": "root", "roles": ["pub", "sub"]},
                ],
            }
        }
    }


# --- what is wrong -----------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"campain_name": "x"}, "[0].campain_name", "Did you mean 'campaign_name'?"),
    ({"campaign_name": None}, "[0].experiment_name", "'experiment_name' is missing"),
    ({"name": "again"}, "[0].name", "'campaign_name' and 'name' say the same"),
    ({"combination_generation_type": "pgc"}, "[0].combination", "Did you mean 'pcg'?"),
    ({"combination_generation_type": None}, "[0].combination", "is missing"),
    ({"qos_settings": None}, "[0].qos_settings", "is missing"),
    ({"qos_settings": {**QOS, "pub_count": []}}, "qos_settings.pub_count", "no test at all"),
    ({"qos_settings": {**QOS, "pub_count": 3}}, "qos_settings.pub_count", "Write [3]"),
    ({"qos_settings": {**QOS, "pub_count": ["3"]}}, "pub_count[0]", "must be an integer"),
    ({"qos_settings": {**QOS, "use_reliable": [1]}}, "use_reliable[0]", "true or false"),
    ({"qos_settings": {**QOS, "durability_level": [4]}}, "durability_level[0]", "from 0 to 3"),
    ({"qos_settings": {**QOS, "pub_count": [1, 1]}}, "pub_count[1]", "has the value 1 twice"),
    ({"qos_settings": {**QOS, "pubcount": [1]}}, "pubcount", "Did you mean 'pub_count'?"),
    ({"slave_machines": None}, "[0].slave_machines", "is missing"),
    ({"slave_machines": []}, "[0].slave_machines", "there is no machine"),
    ({"slave_machines": MACHINES[:1]}, "[0].slave_machines", "no machine runs subscribers"),
    ({"slave_machines": MACHINES[1:]}, "[0].slave_machines", "no machine runs publishers"),
    ({"slave_machines": [MACHINES[0]] * 2}, "[0].slave_machines", "are called 'p1'"),
    (
        {"slave_machines": [machine("p1", "pubs", "10.0.0.1")]},
        "slave_machines[0].participant_allocation",
        "Did you mean 'pub'?",
    ),
    (
        {"slave_machines": [{"machine_name": "p1"}]},
        "slave_machines[0].perftest_exec_path",
        "'perftest_exec_path' is missing",
    ),
    (
        {"slave_machines": [machine("p1", "all", "10.0.0.1", usrname="x")]},
        "slave_machines[0].usrname",
        "Did you mean 'username'?",
    ),
    ({"custom_test_list": ["30SEC_x"]}, "custom_test_list[0]", "'x' stands where 100B should"),
    ({"noise_generation": {"packet_los": "1%"}}, "packet_los", "Did you mean 'packet_loss'?"),
    ({"noise_generation": {"packet_loss": "120%"}}, "packet_loss", "is no percentage"),
    ({"noise_generation": {"bandwidth_rate": "fast"}}, "bandwidth_rate", "is no bandwidth"),
    ({"noise_generation": {"delay": {"value": "x"}}}, "delay.value", "is no delay"),
    ({"noise_generation": {"delay": {"variation": "1ms"}}}, "delay.variation", "needs a delay"),
    ({"retry_failed_tests_n_times": -1}, "[0].retry", "integer of at least 0"),
]


@pytest.mark.parametrize(("changes", "key", "said"), BAD)
def test_what_is_wrong_is_told_with_file_line_key_and_remedy(
    tmp_path: Path, changes: dict[str, Any], key: str, said: str
) -> None:
    path = write(tmp_path, campaign(**changes))
    with pytest.raises(BadInput) as caught:
        read_autoperf(path)
    problem = next(each for each in caught.value.problems if said in str(each))
    assert f"{key}" in str(problem)
    assert problem.file == str(path)
    assert problem.line > 0
    assert problem.remedy


def test_everything_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    bad = campaign(qos_settings={**QOS, "pub_count": []}, slave_machines=MACHINES[:1])
    with pytest.raises(BadInput) as caught:
        read_autoperf(write(tmp_path, bad, campaign(campaign_name=3)))
    lines = [each.line for each in caught.value.problems]
    assert len(lines) == 3
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("[]", "a list of campaigns, at least one"),
        ('{"a": 1}', "a list of campaigns, at least one"),
        ("[3]", "3 is no campaign"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_autoperf(path)
    assert said in str(caught.value)


def test_a_key_twice_in_json_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    text = json.dumps([campaign()])
    path.write_text(text.replace('"campaign_name"', '"campaign_name": "x", "campaign_name"'))
    with pytest.raises(BadInput, match="'campaign_name' is there twice"):
        read_autoperf(path)


def test_private_keys_that_cannot_be_read_are_found(tmp_path: Path) -> None:
    there = tmp_path / "id"
    there.touch()
    machines = [
        machine("p1", "pub", "10.0.0.1", ssh_key_path=str(there)),
        machine("p2", "sub", "10.0.0.2", ssh_key_path=str(tmp_path / "none")),
    ]
    found = one(write(tmp_path, campaign(slave_machines=machines)))
    (problem,) = unreadable_keys(found.machines)
    assert problem.key == (0, "slave_machines", 1, "ssh_key_path")
    assert "there is no such file" in problem.what
    assert "ssh-keygen" in problem.remedy


# --- going on ----------------------------------------------------------------------------------


def test_what_has_succeeded_is_left_out_of_all_combinations(tmp_path: Path) -> None:
    path = write(tmp_path, campaign())
    everything = points(one(path))
    done = [TestName.of(point) for point in everything[:3]]
    elsewhere = TestName.parse("99SEC_1B_1P_1S_REL_MC_0DUR_1LC")
    (found,) = read_autoperf(path, [*done, elsewhere])
    assert points(found) == everything[3:]
    assert (found.done, found.complete) == (3, False)


def test_what_has_succeeded_counts_among_random_combinations(tmp_path: Path) -> None:
    config = campaign(combination_generation_type="rcg", rcg_target_test_count=5)
    path = write(tmp_path, config)
    everything = points(one(write(tmp_path, campaign(), name="all.json")))
    # pub_count [1, 50] is a range here
    done = [TestName.of(point) for point in everything[:2]]
    (found,) = read_autoperf(path, done)
    assert found.definition["space"]["sample"]["count"] == 3
    assert len(found.definition["space"]["exclude"]) == 2


def test_a_list_keeps_what_is_missing_and_all_done_is_told(tmp_path: Path) -> None:
    names = [f"30SEC_100B_1P_{n}S_REL_UC_0DUR_100LC" for n in (1, 2, 3)]
    path = write(tmp_path, campaign(custom_test_list=names))
    tests = [TestName.parse(name) for name in names]
    (found,) = read_autoperf(path, tests[:2])
    assert points(found) == [tests[2].point()]
    (all_done,) = read_autoperf(path, tests)
    assert all_done.complete


@pytest.mark.parametrize(
    ("key", "number", "said"),
    [
        ("quit_after_n_tests", 0, ["taken for 'quit_after_n_failed_tests'", "it never stops"]),
        ("quit_after_n_tests", 7, ["taken for 'quit_after_n_failed_tests'"]),
        ("quit_after_n_failed_tests", 0, ["it never stops"]),
        ("max_failures", 10, []),
    ],
)
def test_a_campaign_that_never_stops_is_told(
    tmp_path: Path, key: str, number: int, said: list[str]
) -> None:
    found = one(write(tmp_path, campaign(**{key: number})))
    assert found.definition["guard"] == {"consecutive_failures": number}
    notes = [note for note in found.notes if key in note]
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))
