"""Reading a lab: campaigns, failures and the tree, on either database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fieldlab
from fieldlab.app import Lab
from fieldlab.domain.errors import BadInput, NoLab, UnknownName
from fieldlab.domain.trials import CampaignState, TrialState
from fieldlab.notebook.reading import LabReader
from fieldlab.store import registry
from tests.cli.program import finish, start, write_experiment
from tests.store.staging import HandEngine, definition, running
from tests.waiting import wait_until


@pytest.fixture
def engine(lab: Lab) -> HandEngine:
    """Have a campaign of which two trials succeeded and two failed, one of them at a command."""
    made = HandEngine(lab.store, running(lab.store, definition()))
    made.acquire()
    made.end(0, 1)
    made.end(
        3,
        state=TrialState.FAILED,
        status="ValueError: no good",
        error="Traceback …\nValueError: no",
    )
    made.fail(2, status="exit code 3")
    made.record()
    return made


class TestOpening:
    def test_a_database_by_its_url(self, lab: Lab, database_url: str) -> None:
        with fieldlab.open(database_url) as found:
            assert found.campaigns().empty
            assert lab.database.place in repr(found)

    def test_a_folder_s_lab_its_own_folder_or_its_file(self, folder: Path) -> None:
        Lab(create=True).close()
        below = folder / "notebooks"
        below.mkdir()
        places = (None, folder, str(below), folder / ".fieldlab", folder / ".fieldlab" / "lab.db")
        for place in (*places, f"sqlite:///{folder}/.fieldlab/lab.db"):
            with fieldlab.open(place) as found:
                assert repr(found) == f"<fieldlab lab in {folder}/.fieldlab/lab.db>"

    def test_a_folder_is_meant_whatever_the_environment_says(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Lab(create=True).close()
        monkeypatch.setenv("FIELDLAB_DATABASE", f"sqlite:///{folder}/other.db")
        with fieldlab.open(folder) as found:
            assert "/.fieldlab/lab.db" in repr(found)
        with pytest.raises(NoLab):
            fieldlab.open()

    def test_where_there_is_no_lab_none_is_made(self, folder: Path) -> None:
        for place in (None, folder, folder / "lab.db", folder / ".fieldlab"):
            with pytest.raises(NoLab, match="fieldlab init"):
                fieldlab.open(place)
        assert not list(folder.iterdir())


class TestCampaigns:
    def test_each_has_its_state_counts_and_times(
        self, reader: LabReader, engine: HandEngine
    ) -> None:
        frame = reader.campaigns()
        assert {str(name): str(type_) for name, type_ in frame.dtypes.items()}.items() >= {
            "done": "int64",
            "total": "int64",
            "started_at": "datetime64[us, UTC]",
            "ended_at": "datetime64[us, UTC]",
        }.items()
        (row,) = frame.to_dict("records")
        assert (row["name"], row["experiment"], row["state"]) == ("probe.1", "probe", "running")
        assert (row["done"], row["total"], row["succeeded"], row["failed"]) == (4, 10, 2, 2)
        assert frame["ended_at"].isna().all()

    def test_an_endless_one_has_no_total(self, reader: LabReader, lab: Lab) -> None:
        running(lab.store, positions=None)
        assert reader.campaigns()["total"].isna().tolist() == [True]

    def test_none_are_an_empty_frame(self, reader: LabReader) -> None:
        assert reader.campaigns().empty
        assert "state" in reader.campaigns()

    def test_one_whose_engine_was_killed_is_interrupted(
        self,
        folder: Path,
        reader: LabReader,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        process = start("run", write_experiment(folder, "wait"), folder=folder)
        wait_until((folder / "started-1").exists, "a trial runs", process)
        assert reader.campaigns()["state"].tolist() == ["running"]
        process.kill()
        finish(process)
        assert reader.campaigns()["state"].tolist() == ["interrupted"]
        assert "sums.1  interrupted, 0/4" in repr(reader.tree())
        reader.watch("sums")
        assert capsys.readouterr().out == "sums.1: interrupted, 0/4\n"


class TestFailures:
    def test_each_says_which_trial_how_and_where(
        self, reader: LabReader, engine: HandEngine
    ) -> None:
        frame = reader.failures()
        assert frame.columns[0] == "x"
        assert frame["x"].tolist() == [2, 3]
        assert frame["campaign"].tolist() == ["probe.1"] * 2
        assert frame["status"].tolist() == ["exit code 3", "ValueError: no good"]
        assert frame["error"].tolist()[1] == "Traceback …\nValueError: no"
        assert frame["failure"].tolist() == ["experiment"] * 2
        assert frame["host"].tolist() == ["bench"] * 2
        assert frame["attempts"].tolist() == [1, 1]
        assert str(frame["ended_at"].dtype) == "datetime64[us, UTC]"

    def test_of_one_campaign_or_experiment(
        self, reader: LabReader, lab: Lab, engine: HandEngine
    ) -> None:
        second = running(lab.store, definition(points=12), positions=12)
        later = HandEngine(lab.store, second, shift=100)
        later.acquire()
        later.fail(0)
        later.record()
        running(lab.store, definition("other"))
        assert reader.failures("probe")["x"].tolist() == [2, 3, 100]
        assert reader.failures("probe.2")["x"].tolist() == [100]
        assert reader.failures("other").empty
        with pytest.raises(UnknownName, match=r"Did you mean 'probe\.2'"):
            reader.failures("probe.22")

    def test_where_none_failed_the_frame_is_empty(self, reader: LabReader) -> None:
        assert reader.failures().empty
        assert "status" in reader.failures()


class TestTree:
    def test_it_says_who_pays_and_who_does_it(
        self, reader: LabReader, lab: Lab, engine: HandEngine
    ) -> None:
        with lab.database.begin() as connection:
            registry.add(connection, "funding", "nsf", {})
            registry.add(connection, "project", "waves", {"title": "A < B", "funding": "nsf"})
            registry.add(connection, "project", "deep", {"parent": "waves"})
            registry.add(connection, "experimenter", "ada", {})
            links = {"project": "deep", "experimenter": "ada", "funding": "nsf"}
            registry.edit(connection, "experiment", "probe", links)
        running(lab.store, definition("stray"))
        tree = reader.tree()
        assert repr(tree) == (
            "waves  A < B, paid by nsf\n"
            "└── deep\n"
            "    └── probe  by ada, paid by nsf\n"
            "        └── probe.1  running, 4/10, 2 failed\n"
            "(no project)\n"
            "└── stray\n"
            "    └── stray.1  interrupted, 0/10"
        )
        html = tree._repr_html_()
        assert "A &lt; B, paid by nsf" in html
        assert html.count("<ul") == html.count("</ul>") == 6

    def test_branches_beside_each_other(self, reader: LabReader, lab: Lab) -> None:
        first = running(lab.store)
        lab.store.change_state(first.id, CampaignState.PAUSED, by="tester", why="")
        running(lab.store, definition(points=12), positions=12)
        assert repr(reader.tree()).splitlines()[2:] == [
            "    ├── probe.1  paused, 0/10",
            "    └── probe.2  interrupted, 0/12",
        ]

    def test_an_empty_lab(self, reader: LabReader) -> None:
        assert "empty" in repr(reader.tree())
        assert "empty" in reader.tree()._repr_html_()


def test_results_are_those_of_the_frames(reader: LabReader, engine: HandEngine) -> None:
    assert reader.results("probe")["y"].tolist() == [0.0, 1.5]
    assert reader.results("probe.1", "polars", own_columns=False).columns == ["x", "y"]
    with pytest.raises(UnknownName, match="Did you mean 'probe'"):
        reader.results("prob")


@pytest.mark.parametrize("name", [None, 5])
def test_what_is_not_a_name_is_refused(reader: LabReader, name: Any) -> None:
    with pytest.raises(BadInput, match=f"{name} is not a name. Give the name of an experiment"):
        reader.results(name)


def test_what_is_no_place_and_no_duration_is_refused(reader: LabReader) -> None:
    wrong: Any = 3
    with pytest.raises(BadInput, match=r"3 is not a place. Give a folder"):
        fieldlab.open(wrong)
    wrong = "x"
    with pytest.raises(BadInput, match=r"'x' is not a duration. Give a number of seconds"):
        reader.watch("probe", for_s=wrong)


def test_a_wrong_name_is_an_experiments_or_a_campaigns(reader: LabReader) -> None:
    with pytest.raises(UnknownName, match="There is no experiment or campaign 'wavee'"):
        reader.results("wavee")
