"""What goes wrong with a host, rather than with a trial."""

from __future__ import annotations

from fieldlab.domain.errors import HostError
from fieldlab.domain.trials import FailureClass
from fieldlab.execution.runners import Ended


class HostTrouble(Exception):
    """Something went wrong with one host."""

    def __init__(self, host: str, error: HostError, step: str = "check") -> None:
        super().__init__(f"{host}: {error}")
        self.host = host
        self.error = error
        #: what was being done
        self.step = step

    @property
    def ended(self) -> Ended:
        """How an attempt ends for which the host couldn't be used."""
        status = _STATUSES.get(self.step, "host lost")
        explanation = f"{self.host} couldn't be used ({self.step}): {self.error}"
        return Ended([], status, FailureClass.INFRASTRUCTURE, error=explanation)


#: end status of an attempt by the step that a host failed at, as AutoPerf calls them
_STATUSES = {
    "check": "ssh_check_fail",
    "send": "script_distribution_fail",
    "noise": "noise_fail",
    "fetch": "fetch_fail",
}
