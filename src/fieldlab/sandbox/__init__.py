"""Virtual hosts on one Linux machine, to rehearse campaigns on, and faults to inject."""

from fieldlab.sandbox.handle import Sandbox, SandboxHost, SandboxStatus

__all__ = ["Sandbox", "SandboxHost", "SandboxStatus"]
