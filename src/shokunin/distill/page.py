"""The summary of a distillation for people: Markdown, the verdict and the money first."""

from __future__ import annotations

from shokunin.distill.forecast import Forecast, Range
from shokunin.distill.outcome import Distilled, total

_STOPPED = {
    "gate": "Stopped at the gate: the teacher is not good enough. `--yes` goes on all the same.",
    "budget": "Stopped because the budget was spent. What was bought is kept; with a larger `--budget` the same command goes on "
    "from there.",
    "forecast": "Only the forecast was asked for; nothing was spent.",
}


def summary_markdown(one: Distilled) -> str:
    """The summary as Markdown (GitHub flavour)."""
    lines = [f"# Distilled: {one.task}", "", *sentences(one), ""]
    lines += ["| rows without an answer | |", "|---|---:|", f"| in | {one.rows_in:,} |", f"| kept | {one.kept:,} |"]
    lines += [f"| dropped: {_cell(reason)} | {n:,} |" for reason, n in one.dropped.items()]
    if one.extended:
        new = one.extended
        lines += [
            "",
            "| new inputs | |",
            "|---|---:|",
            f"| written | {new['written']:,} |",
            f"| kept | {new['kept']:,} |",
        ]
        lines += [f"| dropped: {_cell(reason)} | {n:,} |" for reason, n in new["dropped"].items()]
    for title, step in zip(("Forecast before the first call", "Forecast after the gate"), one.foreseen, strict=False):
        lines += [
            "",
            f"## {title}",
            "",
            "| model | for | calls | tokens in | tokens out | US dollars |",
            "|---|---|---:|---:|---:|---:|",
        ]
        lines += [f"| {' | '.join(forecast_cells(f))} |" for f in step]
    if one.gate is not None and one.gate.wrong:
        lines += ["", "## Where the teacher and the owner differ", "", "| input | owner | teacher |", "|---|---|---|"]
        lines += [f"| {_cell(text)} | {_cell(owner)} | {_cell(told or '—')} |" for text, owner, told in one.gate.wrong]
    return "\n".join(lines) + "\n"


def sentences(one: Distilled) -> list[str]:
    """What came of it, a sentence a line."""
    told = [_STOPPED[one.stopped]] if one.stopped in _STOPPED else []
    if one.gate is not None:
        g = one.gate
        kept = (
            ""
            if g.right_of_kept is None
            else f"; of the {g.kept:.0%} that are kept {g.right_of_kept.value:.1%} are right"
        )
        names = ", ".join(one.teachers)
        told.append(
            f"The teacher ({names}) has {g.metric} {g.score.value:.3f} ({g.score.low:.3f} to {g.score.high:.3f}) "
            f"on {g.rows:,} rows whose answers are known{kept}. Verdict: {g.sentence}."
        )
    if one.dataset is not None:
        told.append(f"{one.kept:,} rows labelled, beside {one.owner:,} of the owner's.")
    if one.judge:
        j = one.judge
        told.append(
            f"The judge compared {j['pairs']:,} pairs in both orders; {j['consistent']:.0%} had the same winner both times, and "
            f"{j['first']:.0%} of its verdicts were for what it read first."
            if j["first"] is not None and j["consistent"] is not None
            else f"The judge compared {j['pairs']:,} pairs and gave no verdict."
        )
    spent = "what it costs is not known" if one.spent is None else f"${one.spent:.4f} spent on this task so far"
    told.append(f"{one.bought:,} replies bought, {one.reused:,} had been bought before; {spent}.")
    told += [f"Note: {warning}." for warning in one.warnings]
    return told


def forecast_cells(one: Forecast) -> tuple[str, ...]:
    """One forecast as the cells of a table."""
    usd = "not known" if one.usd is None else _range(one.usd, "${:,.4f}")
    return (
        one.model,
        one.purpose,
        f"{one.calls:,.0f}",
        _range(one.tokens_in, "{:,.0f}"),
        _range(one.tokens_out, "{:,.0f}"),
        usd,
    )


def foretold(step: tuple[Forecast, ...]) -> str:
    """The whole spend that a forecast expects, in words."""
    cost = total(step)
    if cost is None:
        return "no price is known"
    return "nothing: the model runs here" if cost.high == 0 else _range(cost, "${:,.4f}")


def _range(value: Range, form: str) -> str:
    likely = form.format(value.likely)
    return likely if value.low == value.high else f"{likely} ({form.format(value.low)} to {form.format(value.high)})"


def _cell(text: str) -> str:
    text = " ".join(text.split())
    for character in "\\`*_[]<>|#":
        text = text.replace(character, "\\" + character)
    return text
