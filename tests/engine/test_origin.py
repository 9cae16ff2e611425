"""Where a campaign's attempts come from is recorded with them, on either database."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from fieldlab.app import Lab
from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import BadInput
from fieldlab.domain.provenance import Origin
from fieldlab.domain.trials import CampaignState
from fieldlab.engine import origin
from fieldlab.hosts.provenance import Captured, capture
from fieldlab.settings import Dirty, ProvenanceSettings
from fieldlab.store.provenances import origins_of
from tests.engine.campaigning import DOUBLE, TEN, Bench
from tests.repositories import Repository

REFUSE = ProvenanceSettings(dirty=Dirty.REFUSE)


def origins(bench: Bench, name: str = "probe") -> list[Origin]:
    """Read where the attempts of a campaign come from, each place once."""
    campaign = bench.lab.find(name)
    ids = {row["engine_id"] for row in bench.attempts(campaign)}
    assert len(bench.attempts(campaign)) == campaign.attempts
    with bench.lab.database.read() as connection:
        return list(origins_of(connection, ids).values())


def test_every_attempt_knows_where_it_comes_from(bench: Bench) -> None:
    definition = bench.define(DOUBLE, TEN)
    repository = Repository.make(bench.folder)
    (bench.folder / ".gitignore").write_text("lab/\n*.db*\n")
    commit = repository.commit()
    (bench.folder / "study.py").write_text(f"{DOUBLE}# changed\n")
    bench.finish(definition)
    (found,) = origins(bench)
    assert (found.host, found.pid, found.user) == (
        socket.gethostname(),
        os.getpid(),
        getpass.getuser(),
    )
    assert found.provenance == capture(bench.folder, patch=True).provenance
    assert found.provenance is not None
    assert found.provenance.code is not None
    assert (found.provenance.code.commit, found.provenance.code.dirty) == (commit, True)
    assert "+# changed" in found.patch


def test_what_can_not_be_found_out_stops_no_campaign(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = bench.define(DOUBLE, TEN)
    Repository.make(bench.folder).commit()
    monkeypatch.setattr("fieldlab.hosts.provenance.read_work_tree", _fail)
    told: list[str] = []
    lab = bench.lab
    campaign = lab.run(lab.start(definition), on_trouble=told.append).campaign
    assert campaign.state is CampaignState.FINISHED
    assert told == ["Of the code no commit is recorded: ValueError: what is this"]
    (found,) = origins(bench)
    assert found.provenance is not None
    assert found.provenance.code is None
    assert found.provenance.environment.packages


def _fail(*_: object, **__: object) -> None:
    raise ValueError("what is this")


def _nothing(bench: Bench) -> None:
    pass


def _unborn(bench: Bench) -> None:
    Repository.make(bench.folder)


def _dirty(bench: Bench) -> None:
    Repository.make(bench.folder).commit()
    (bench.folder / "new.py").write_text("")


def _damaged(bench: Bench) -> None:
    Repository.make(bench.folder).commit()
    (bench.folder / ".git" / "index").write_bytes(b"nonsense")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_nothing, "isn't in a git repository"),
        (_unborn, "has changes that aren't committed"),
        (_dirty, "has changes that aren't committed"),
        (_damaged, "Nobody can say whether the code is committed"),
    ],
)
def test_what_no_commit_holds_is_refused_where_that_is_set(
    bench: Bench, make: Callable[[Bench], None], said: str
) -> None:
    definition = bench.define(DOUBLE, TEN)
    make(bench)
    strict = Lab(replace(bench.lab.settings, provenance=REFUSE))
    with pytest.raises(BadInput, match=said):
        strict.start(definition)
    campaign = bench.lab.start(definition)
    with pytest.raises(BadInput, match=said):
        strict.run(campaign)
    assert bench.lab.store.campaign(campaign.id).state is CampaignState.CREATED
    strict.close()


def test_what_is_said_of_code_that_is_not_committed(bench: Bench) -> None:
    definition = bench.define(DOUBLE, TEN)

    def said(*, patch: bool = True) -> str:
        settings = ProvenanceSettings(patch=patch)
        return origin.uncommitted(origin.captured_for(definition, settings), settings)

    assert said() == ""
    repository = Repository.make(bench.folder)
    assert said() == "The code isn't committed yet; it is kept as a patch"
    assert said(patch=False) == "The code isn't committed yet, and it isn't kept"
    commit = repository.commit()[:10]
    assert said() == ""
    (bench.folder / "new.py").write_text("new = 1\n")
    changes = f"The code has changes that commit {commit} doesn't hold"
    assert said() == f"{changes}; they are kept as a patch"
    assert said(patch=False) == f"{changes}; they aren't kept"


def test_a_definition_without_a_folder_lies_here(bench: Bench) -> None:
    definition: Definition = replace(bench.define(DOUBLE, TEN), folder="")
    found: Captured = origin.captured_for(definition, ProvenanceSettings())
    assert found == capture(bench.folder, patch=True)
