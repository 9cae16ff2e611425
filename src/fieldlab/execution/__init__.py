"""Where attempts run: worker processes on this machine, and the keeper that lets none stray."""
