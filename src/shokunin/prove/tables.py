"""Tables of figures in the terminal."""

from __future__ import annotations

from rich.table import Table


def table_of(*columns: str) -> Table:
    """Figures stay on their line; what gives way on a narrow terminal are the words at either end."""
    table = Table(box=None, pad_edge=True, padding=(0, 1, 0, 1), header_style="dim")
    for i, name in enumerate(columns):
        table.add_column(name, no_wrap=0 < i < len(columns) - 1, overflow="fold")
    return table
