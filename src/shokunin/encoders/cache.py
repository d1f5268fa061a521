"""Where derived files are kept between runs: one folder per user, safe to delete at any time."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The cache: `SHOKUNIN_CACHE` if set, else the platform's usual place. It may not exist yet."""
    if chosen := os.environ.get("SHOKUNIN_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "shokunin"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "shokunin" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shokunin"
