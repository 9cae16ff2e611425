"""Where a lab lies, and the sites that it has."""

from fieldlab.settings.profile import (
    FOLDER,
    PROFILE,
    PROVENANCE,
    Dirty,
    ProvenanceSettings,
    Settings,
    current_folder,
    load_settings,
)

__all__ = [
    "FOLDER",
    "PROFILE",
    "PROVENANCE",
    "Dirty",
    "ProvenanceSettings",
    "Settings",
    "current_folder",
    "load_settings",
]
