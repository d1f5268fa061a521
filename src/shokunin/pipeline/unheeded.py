"""What readings of machines have no use for: each option that is given and would change nothing is named, with what does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shokunin.errors import UsageError

_LATER = "readings of another time are for `shokunin prove`"
FORESEEING: Mapping[str, str] = {
    "--test": f"the newest readings are sealed (--option shares=0.6,0.2,0.2), or whole units (--option split=unit); {_LATER}",
    "--validation": f"the same as --test: a part of the readings is held back (--option shares=0.6,0.2,0.2); {_LATER}",
    "--input": "the columns to read are --option sensors=NAME,NAME",
    "--target": "a column that knows of failures is --option column=NAME; their dates are --failures FILE",
    "--base": "where the embedding comes from is --option encoder=…, what reads the units' names is --option text_model=…",
    "--learner": "what is tried is --option rungs=base_rate,statistics",
    "--max-error": "a promise about answers is none about alarms; how many may come is --option alarms_a_month=N",
    "--mask": "readings are numbers; what a unit is called is written down as it is in the file",
    "--keep-leaks": "channels that seem to know the answer are kept by name: --option keep_leaks=NAME,NAME",
}
"""By option of `train` what is said in its place, where failures are foreseen."""
NORMAL: Mapping[str, str] = {
    **FORESEEING,
    "--target": "a column that tells normal time from other is --option column=NAME",
    "--base": "no detector has one",
    "--learner": "what is tried is --option detectors=reconstruction,isolation",
    "--max-error": "a promise about answers is none about alarms; how many may come is --option alarms_a_week=N",
    "--keep-leaks": "where no failure is known no channel can know one, and all are looked at",
}
"""The same where only what is normal is learnt."""
_OF_NORMAL = ("alarms_a_week", "normal_until", "detectors")
_OF_FORESEEING: Mapping[str, str] = {
    "alarms_a_month": "the budget is alarms_a_week",
    "rungs": "what is tried is detectors",
    "keep_leaks": "no channel is taken out",
    "equipment": "no unit's name is looked at",
    **dict.fromkeys(
        ("when", "offset", "channels", "parts", "trees", "encoder", "encoder_steps", "lora_steps", "text_model"),
        "nothing is foreseen",
    ),
}


def refuse_unheeded(given: Mapping[str, Any], options: Mapping[str, Any], target: str | None) -> None:
    """Do nothing if everything that is given counts.

    Args:
        given: by its name on the command line (a key of `FORESEEING`), what `train` was given; None, False and nothing at all
            are not given.
        options: those of the kind that the call itself says, without those of a task's folder.
        target: what the call or its task says that is to be foreseen; None: the table shows it.

    Raises:
        UsageError: something would be ignored; all of it is named, with what to say in its place.
    """
    instead = NORMAL if target == "normal" else FORESEEING
    lost = {name: instead[name] for name, value in given.items() if _is_given(value)}
    told = {name for name, value in options.items() if value is not None}
    if target == "normal":
        lost |= {f"--option {name}": why for name, why in _OF_FORESEEING.items() if name in told}
    else:
        lost |= {f"--option {name}": "it needs --option target=normal" for name in _OF_NORMAL if name in told}
        if "failures" in told and target not in (None, "failures"):
            lost["--failures"] = f"dates of failures do not count where the target is {target!r}"
        if {"failures", "column"} <= told and target in (None, "failures"):
            lost["--option column"] = "with --failures their dates count; leave out one of the two"
    if lost:
        said = "; ".join(f"{name} ({why})" for name, why in lost.items())
        raise UsageError(f"for readings of machines this would change nothing; leave it out: {said}")


def _is_given(value: Any) -> bool:
    return value is not None and value is not False and not (hasattr(value, "__len__") and not len(value))
