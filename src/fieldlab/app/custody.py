"""Who works on a campaign: its engines, taking over from dead ones, and what nobody works on."""

from __future__ import annotations

import getpass
from dataclasses import dataclass

from fieldlab.domain.errors import Conflict
from fieldlab.domain.trials import CampaignState
from fieldlab.ports.store import Campaign
from fieldlab.store.sql_store import SqlStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run of the engine ended."""

    campaign: Campaign
    #: by Ctrl-C or a termination signal
    interrupted: bool = False


class Custody:
    """Knows which engines of a campaign are alive, and keeps its state true to that."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def pause_unattended(self, campaign_id: int, why: str) -> Campaign:
        """Pause a campaign that runs, unless another engine works on it."""
        campaign = self._store.campaign(campaign_id)
        if campaign.state is not CampaignState.RUNNING or self.engines_alive(campaign):
            return campaign
        return self._store.change_state(campaign_id, CampaignState.PAUSED, by=whoami(), why=why)

    def set_running(self, campaign: Campaign) -> Campaign:
        """Let engines take the campaign's trials; take over from engines that died.

        Who has cancelled it since ``campaign`` was read has the last word.
        """
        self.take_over(campaign)
        current = self._store.campaign(campaign.id)
        cancelled = CampaignState.CANCELLED
        if current.state is cancelled and campaign.state is not cancelled:
            return current
        if current.state is CampaignState.RUNNING:
            return current
        running = CampaignState.RUNNING
        try:
            return self._store.change_state(
                campaign.id, running, by=whoami(), why="", expected=current.state
            )
        except Conflict:  # somebody was faster
            return self.set_running(campaign)

    def take_over(self, campaign: Campaign) -> int:
        """Write out the engines that died; how many attempts were lost with them."""
        return self._store.recover(campaign.id, self._engines(campaign)[1])

    def _engines(self, campaign: Campaign) -> tuple[int, list[str]]:
        """Count the engines that are alive, and list the ids of those that died."""
        signs = self._store.live_engines(campaign.id)
        if not signs:
            return 0, []
        from fieldlab.engine.liveness import dead_engines

        dead = dead_engines(signs)
        return len(signs) - len(dead), dead

    def engines_alive(self, campaign: Campaign) -> int:
        """Count the processes that work on a campaign now."""
        return self._engines(campaign)[0]


def whoami() -> str:
    """Name the person who acts, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
