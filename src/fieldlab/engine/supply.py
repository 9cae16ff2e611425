"""Getting work from the store, past whatever needs no running."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from fieldlab.domain.parameters import TrialSequence
from fieldlab.domain.trials import CampaignState
from fieldlab.engine.backlog import Backlog
from fieldlab.engine.sieve import Sieve
from fieldlab.engine.store_thread import StoreThread
from fieldlab.ports.executor import Running
from fieldlab.ports.store import Campaign, CampaignStore, Lease, Sifted

#: a trial that runs longer than this is recorded as running, s
LONG_S = 1.0


class Supply:
    """Fills a backlog with leases and retries; what is excluded or recorded is left out."""

    def __init__(
        self,
        store: CampaignStore,
        stored: StoreThread,
        engine_id: str,
        campaign: Campaign,
        sequence: TrialSequence,
    ) -> None:
        self._store = store
        self._stored = stored
        self._engine_id = engine_id
        self._experiment_id = campaign.experiment_id
        known = self._known if campaign.shares_trials else None
        self._sieve = Sieve(sequence, known)
        #: points that are submitted are no positions of the sequence
        self._looks = self._sieve.is_needed and not campaign.definition.takes_points

    async def fetch(
        self, campaign: Campaign, backlog: Backlog, positions: int, retries: int
    ) -> Campaign | None:
        """Get about so many positions, and so many trials to try again.

        Returns
        -------
        Campaign or None
            The campaign, in which positions may have been passed over: another call may find more.
            None when that makes no sense.
        """
        sifted = await self._stored.call(partial(self._look, campaign, positions))
        work = await self._stored.call(
            partial(self._store.acquire, campaign.id, self._engine_id, positions, retries, sifted)
        )
        backlog.add_retries(work.retries)
        for lease in work.leases:
            await self._stored.call(partial(self._take_in, backlog, lease, sifted))
        if sifted is None or work.state is not CampaignState.RUNNING:
            return None
        return await self._stored.call(partial(self._store.campaign, campaign.id))

    async def begin_long(
        self, campaign: Campaign, backlog: Backlog, running: Sequence[Running]
    ) -> None:
        """Record the trials as running that have run for a while."""
        rows = backlog.unrecorded(running, LONG_S)
        if rows:
            begin = partial(self._store.begin, campaign.id, self._engine_id, rows)
            backlog.begun |= await self._stored.call(begin)

    def _look(self, campaign: Campaign, positions: int) -> Sifted | None:
        """Look ahead for trials to run, where a position may be anything else."""
        if not self._looks:
            return None
        if campaign.wanted is None:
            return self._sieve.look(campaign.cursor, positions, None)
        most = campaign.wanted + campaign.excluded - campaign.cursor
        return self._sieve.look(campaign.cursor, positions, max(most, 0))

    def _take_in(self, backlog: Backlog, lease: Lease, sifted: Sifted | None) -> None:
        if sifted and (lease.start, lease.stop) == (sifted.start, sifted.stop):
            backlog.add_sifted(lease, sifted)
        else:
            backlog.add_lease(lease, self._known_here if self._looks else None)

    def _known(self, prints: Collection[str]) -> set[str]:
        return self._store.known(self._experiment_id, prints)

    def _known_here(self, prints: Collection[str]) -> set[str]:
        return self._known(prints) if self._sieve.known is not None else set()
