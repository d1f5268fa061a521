"""`shokunin quickstart`: the whole journey on an example business, without any network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from shokunin.cli.output import Output, bars, emit, reporting, say
from shokunin.errors import MissingExtraError

QUESTIONS = (
    "Where is my parcel? It should have been here on Monday",
    "Ich möchte mein Geld zurück, der Topf ist verbeult",
)


def quickstart(
    folder: Annotated[Path, typer.Option(help="Where the example project goes.")] = Path("quickstart"),
    rows: Annotated[int, typer.Option(min=200, help="How many inquiries the example business has.")] = 2400,
    seed: Annotated[int, typer.Option(help="For the rows, the split and the fits.")] = 7,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Run the whole journey on an example business.

    Curate, train, prove, serve, and one answered request, in about a minute; the business and its rows are made up.
    """
    with reporting(output):
        openai = _client()
        from shokunin import example_business, pipeline
        from shokunin.project import init_project
        from shokunin.prove.render import report_json, report_terminal

        init_project(folder)
        file = folder / "inquiries.csv"
        say(f"  {example_business.NOTICE}", title="1 of 5  An example business", output=output)
        example_business.write_csv(file, seed=seed, rows=rows)
        say(f"        {rows:,} past inquiries → {file}", output=output)
        say("  duplicates, leaks, wrong labels, personal data", title="2 of 5  Curate", output=output)
        with bars(output) as progress:
            dataset, place = pipeline.curate(file, project=folder, seed=seed, progress=progress)
        say(_counts(dataset.facts, place), output=output)
        say("  from the cheapest learner to the dearest", title="3 of 5  Train, prove, replay", output=output)
        with bars(output) as progress:
            specialist = pipeline.train(place, project=folder, seed=seed, progress=progress)
        report = pipeline.read_report(specialist)
        if output is Output.text:
            report_terminal(report)
        say(f"  {specialist.id} behind an OpenAI-compatible address", title="\n4 of 5  Serve", output=output)
        asked = _ask(openai, folder, specialist.name, output)
        say(title="5 of 5  Where to look next", output=output)
        say(f"        the report        {specialist.folder / 'report.html'}", output=output)
        say(f"        the data card     {place / 'card.html' if place else '–'}", output=output)
        say(f"        serve it          shokunin serve --project {folder}", output=output)
        say("        your own rows     shokunin train YOUR_INQUIRIES.csv", output=output)
        if output is Output.json:
            emit({**report_json(report), "folder": str(specialist.folder), "asked": asked})
    if report.verdict != "pass":
        raise typer.Exit(1)


def _client() -> Any:
    """The official client, looked for before any work starts."""
    try:
        import openai
    except ModuleNotFoundError as error:
        raise MissingExtraError("openai", "client") from error
    return openai


def _counts(facts: dict[str, Any], place: Path | None) -> str:
    rows = facts["rows"]
    aside = "; ".join(f"{count} {reason}" for reason, count in rows["set_aside"].items())
    return f"        {rows['in']:,} rows in = {rows['used']:,} used + {rows['in'] - rows['used']:,} set aside ({aside}) → {place}"


def _ask(openai: Any, folder: Path, name: str, output: Output) -> list[dict[str, str]]:
    """Ask the running server as an application would."""
    from shokunin.serve.process import ServerProcess

    asked = []
    with ServerProcess(["--project", str(folder)]) as server:
        client = openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="not-needed-on-loopback")
        for question in QUESTIONS:
            reply = client.chat.completions.create(model=name, messages=[{"role": "user", "content": question}])
            answer = reply.choices[0].message.content or ""
            asked.append({"question": question, "answer": answer})
            say(f"        “{question}”  →  {answer}", output=output)
    return asked
