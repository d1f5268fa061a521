"""Price: what a rented model costs, in US dollars per million tokens."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Price:
    """`[prices."MODEL"]`: what a rented model costs, in US dollars per million tokens.

    Attributes:
        input: tokens read.
        output: tokens written.
        cached_input: tokens read that the provider still had from an earlier request; None: not known.
        batch_input: tokens read of requests that may wait, sent in a batch; None: not known.
        batch_output: tokens written, likewise.
    """

    input: float
    output: float
    cached_input: float | None = None
    batch_input: float | None = None
    batch_output: float | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"`{one.name}` is US dollars per million tokens, 0 or more, not {value!r}")
        if (self.batch_input is None) != (self.batch_output is None):
            raise ValueError("`batch_input` and `batch_output` belong together; give both or neither")

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """US dollars for so many tokens read and written, one request at a time and without a cache."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6

    def times(self, factor: float) -> Price:
        """The price when the provider asks `factor` times as much for everything."""
        known = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: value * factor for name, value in known.items() if value is not None})
