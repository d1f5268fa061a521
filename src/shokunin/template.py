"""Template: how an application phrases one task: fixed words, slots for what varies, and the shape of the reply."""

from __future__ import annotations
