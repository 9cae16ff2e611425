"""Run one campaign as a process of its own, to be killed by tests.

Arguments: a definition as JSON. Where the lab lies comes from the environment.
"""

from __future__ import annotations

import json
import sys

from fieldlab.app import Lab
from fieldlab.domain.definition import Definition
from fieldlab.domain.trials import CampaignState


def tell(text: str) -> None:
    """Say what troubles the engine, at once."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main() -> int:
    """Run the campaign to its end; 0 when it is finished."""
    lab = Lab(create=True)
    campaign = lab.start(Definition.from_dict(json.loads(sys.argv[1])))
    if campaign.state is CampaignState.FINISHED:
        return 0
    ended = lab.run(campaign, on_trouble=tell)
    return 0 if ended.campaign.state is CampaignState.FINISHED else 1


if __name__ == "__main__":
    sys.exit(main())
