"""How tests of AutoPerf end: every status that it has known, and whose fault each is."""

from __future__ import annotations

from collections.abc import Mapping

from fieldlab.domain.trials import FailureClass

SUCCESS = "success"
TIMEOUT = "timeout"
EXECUTION_FAILED = "script_execution_fail"
COUNT_MISMATCH = "file_count_mismatch"
EMPTY_FILE = "empty_file_found"

#: status → whose fault it is; None: the test succeeded
STATUSES: Mapping[str, FailureClass | None] = {
    SUCCESS: None,
    "punctual": None,
    "ping_check_fail": FailureClass.INFRASTRUCTURE,
    "ssh_check_fail": FailureClass.INFRASTRUCTURE,
    "connection_check_fail": FailureClass.INFRASTRUCTURE,
    "unreachable": FailureClass.INFRASTRUCTURE,
    "script_generation_fail": FailureClass.INFRASTRUCTURE,
    "script_distribution_fail": FailureClass.INFRASTRUCTURE,
    "noise_script_generation_fail": FailureClass.INFRASTRUCTURE,
    EXECUTION_FAILED: FailureClass.EXPERIMENT,
    TIMEOUT: FailureClass.EXPERIMENT,
    "prolonged": FailureClass.EXPERIMENT,
    "fail": FailureClass.EXPERIMENT,
    COUNT_MISMATCH: FailureClass.VERDICT,
    "no csv files": FailureClass.VERDICT,
    EMPTY_FILE: FailureClass.VERDICT,
}
