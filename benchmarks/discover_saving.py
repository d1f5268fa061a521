"""What discovery predicts against what training and serving then really give, for every task that it says to train.

    python -m benchmarks.discover_saving [--records 30000] [--seed 0] [--learners baseline,text_linear,encoder_head] [--quick]

1. `benchmarks.traffic_mix` makes 23 days of history and, of other rows, the seven days after them.
2. `shokunin discover history.jsonl --write` predicts, for each task, the share answered locally and the saving a month.
3. `shokunin train tasks/NAME` for every task with the verdict TRAIN, with the ladder of the base install.
4. `shokunin serve` stands in front of an upstream that gives the recorded replies of the later days; the requests of those
   days are sent through the official `openai` client as they are, in their order.

Counted for each task, over all requests that the truth says are its own: recognised; answered locally; local answers that
are not the right one (the row's label, not the recorded reply) and local replies that are not in the shape that the
application got before; audits, and how many of them differ; and the saving: what the upstream was paid for recognised
requests and audits (the price of the model that it was asked for, by the server's record), against what all requests cost
in the log, by the same price book. A month is 365.25 / 12 days.

Audits are dear at first, since every answer is audited until there is evidence. So what discovery foresees of the first week
(`first_week`) is set beside those days, audits and all, and its saving a month beside that of a year: the audited answers
of those days are drawn from, with replacement, for a year at the same rate, and go through the same watch over the promise.

Nothing is tuned on the later days; they are made after the history, from rows that are not in it.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from benchmarks import harness
from benchmarks.answered import LEARNERS
from benchmarks.discover_run import attempt, discover, shokunin
from benchmarks.discover_scoring import clusters, read_truth, score
from benchmarks.traffic_mix import LATER_DAYS, write_traffic
from shokunin.cost import price_of
from shokunin.files import write_json
from shokunin.metrics import wilson
from shokunin.project.settings import Gateway
from shokunin.serve.process import ServerProcess
from shokunin.serve.scripted_upstream import Act, ScriptedUpstream, Seen
from shokunin.watch.promise import PromiseWatch

MONTH = 365.25 / 12
GOAL = 0.15
"""Relative error of a prediction that is good enough."""
AT_ONCE = 4
"""Requests under way."""
SETTINGS = """[upstreams.recorded]
base_url = "{url}"
model = "gpt-4o"

[gateway]
upstream = "recorded"
"""


PREDICTED = (
    "records", "share_local", "saving_per_month", "saving_first_month", "cost_per_month", "audit_share", "expected_error",
    "accuracy", "learner", "patternedness", "recognised", "first_week",
)  # fmt: skip
YEARS = 5
"""So often a year is drawn."""
Outcome = tuple[float, bool]
"""A confidence, and whether the upstream said the same."""


@dataclass(frozen=True)
class Asked:
    """One later request and how it was answered: route and specialist as the headers say, the reply's text."""

    id: str
    exchange: str
    route: str
    specialist: str
    reply: str


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--records", type=int, default=30_000, help="of history")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--learners", default=",".join(LEARNERS))
    words.add_argument("--options", default="", help="further ones for discover, for instance '--max-error 0.1'")
    words.add_argument("--folder", type=Path, help="keep the project here, to look at; by default it is temporary")
    words.add_argument("--quick", action="store_true", help="few records, to try it; nothing is kept")
    asked = words.parse_args()
    if asked.quick:
        asked.records, asked.learners = 6_000, "baseline,text_linear"
    result = harness.record("discover_saving", asked.quick)
    del result["settings"]
    result |= {"records": asked.records, "seed": asked.seed, "learners": asked.learners.split(",")}
    result |= {"options": asked.options, "goal": GOAL}
    with tempfile.TemporaryDirectory(prefix="discover-saving-") as name:
        folder = Path(name) if asked.folder is None else asked.folder
        result |= measured(folder, asked.records, asked.seed, result["learners"], asked.options.split())
    for row in result["tasks"]:
        print(line(row))
    print(json.dumps(result["summary"], indent=1))
    if not asked.quick:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = harness.RESULTS / f"discover_saving-{stamp}-{result['commit']}.json"
        write_json(path, result)
        print(path)


def measured(
    folder: Path, records: int, seed: int, learners: Sequence[str], options: Sequence[str] = ()
) -> dict[str, Any]:
    """The whole way, in `folder`."""
    project = folder / "project"
    project.mkdir(parents=True, exist_ok=True)
    write_traffic(folder, records=records, seed=seed)
    truth = read_truth(folder)
    found, cost = discover(folder / "history.jsonl", project, "--write", *options)
    scored = score(found, truth)
    print(f"discovered in {cost['wall_seconds']:.0f} s, ARI {scored['ari']}", flush=True)
    trained = {}
    for task in found["tasks"]:
        if task["verdict"] == "TRAIN":
            trained[task["name"]] = trained_on(project, task["name"], learners)
            print(task["name"], trained[task["name"]], flush=True)
    later = {record["response"]["id"]: record for record in whole_records(folder / "later.jsonl")}
    answered, asked_for = serve(project, list(later.values()))
    kept = exchanges(project, folder / "kept.jsonl")
    rows = tasks(found, truth, trained, later, answered, kept)
    return {
        "discovery": {"cost": cost, **{key: scored[key] for key in ("ari", "counts", "applications")}},
        "found": [{key: value for key, value in task.items() if key != "record_ids"} for task in found["tasks"]],
        "later": {
            "requests": len(later),
            "routes": dict(Counter(one.route for one in answered)),
            "upstream_asked_for": asked_for,
        },
        "tasks": rows,
        "summary": summary(rows),
    }


def trained_on(project: Path, name: str, learners: Sequence[str]) -> dict[str, Any]:
    """`shokunin train tasks/NAME`: what its report says, or why it could not."""
    options = [word for learner in learners for word in ("--learner", learner)]
    report, cost = attempt(["train", f"tasks/{name}", *options], project)
    about = {"wall_seconds": cost["wall_seconds"], "peak_rss_mb": cost["peak_rss_mb"]}
    if report is None:
        return about | {"error": (project / "log.txt").read_text(encoding="utf-8", errors="replace").strip()[-600:]}
    return about | {
        "specialist": report["specialist"],
        "verdict": report["verdict"],
        "max_error": report["threshold"]["bound"],
        "confidence": report["threshold"]["confidence"],
        "threshold": report["threshold"]["value"],
        "rows": report["rows"],
        "score": next(iter(report["scores"].items())),
        "promise": report["threshold"],
    }


def whole_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file that are no corrupt lines."""
    with path.open("rb") as file:
        for line_ in file:
            try:
                record = json.loads(line_)
                if record["response"]["choices"]:
                    yield record
            except (ValueError, TypeError, KeyError):
                continue


def serve(project: Path, later: Sequence[Mapping[str, Any]]) -> tuple[list[Asked], dict[str, int]]:
    """Send every request, in its order, a few at a time, to a gateway in front of the recorded replies.

    Returns:
        What became of each, and how often the upstream was asked for the model that the application asks for.
    """
    replies = {key_of(r["request"]["messages"]): (r["request"]["model"], json.dumps(r["response"])) for r in later}
    asked_for: Counter[str] = Counter()

    def recorded(seen: Seen) -> Act:
        model, body = replies.get(key_of(seen.json.get("messages", [])), ("", ""))
        asked_for["the recorded model" if seen.json.get("model") == model else "another model"] += 1
        return Act(body=body.encode()) if body else Act(status=500, body=b'{"error": {"message": "never recorded"}}')

    with ScriptedUpstream(recorded) as upstream:
        (project / "shokunin.toml").write_text(SETTINGS.format(url=upstream.base_url), encoding="utf-8")
        with (
            ServerProcess(["--project", str(project)], seconds=300) as server,
            openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0, timeout=120) as client,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            answered = list(pool.map(lambda record: ask(client, record), later))
            time.sleep(5)  # audits that are under way
    return answered, dict(asked_for)


def ask(client: openai.OpenAI, record: Mapping[str, Any]) -> Asked:
    """One request as it was recorded."""
    raw = client.chat.completions.with_raw_response.create(**record["request"])
    headers, reply = raw.headers, raw.parse()
    return Asked(
        record["response"]["id"],
        headers["x-request-id"],
        headers.get("x-shokunin-route", "passed"),
        headers.get("x-shokunin-specialist", ""),
        reply.choices[0].message.content or "",
    )


def exchanges(project: Path, path: Path) -> list[dict[str, Any]]:
    """The server's own record."""
    shokunin(["traffic", "export", str(path)], project)
    with path.open(encoding="utf-8") as file:
        return [json.loads(line_) for line_ in file]


def tasks(
    found: Mapping[str, Any],
    truth: Mapping[str, Any],
    trained: Mapping[str, Mapping[str, Any]],
    later: Mapping[str, Mapping[str, Any]],
    answered: Sequence[Asked],
    kept: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Predicted against real, for every task with the verdict TRAIN."""
    cluster_of, _ = clusters(found)
    together: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, cluster in cluster_of.items():
        if name in truth["history"]:
            together[cluster][truth["history"][name]["task"]] += 1
    shapes = shapes_of(truth["later"], later)
    by_exchange = {one["id"]: one for one in kept}
    audits: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in kept:
        if one["route"] == "audit":
            audits[one["parent"]].append(one)
    rows = []
    for task in found["tasks"]:
        if task["verdict"] != "TRAIN":
            continue
        name, application = task["name"], together[task["name"]].most_common(1)[0][0]
        row: dict[str, Any] = {"task": name, "application": application, "training": trained[name]}
        row["predicted"] = {key: task.get(key) for key in PREDICTED}
        if "error" not in trained[name]:
            own = [one for one in answered if truth["later"][one.id]["task"] == application]
            foreign = sum(of(one, name) for one in answered) - sum(of(one, name) for one in own)
            row["real"] = {"foreign": foreign, **real(name, own, truth["later"], later, by_exchange, audits, shapes)}
            row["real"] |= year(row["real"], audits_of(name, own, by_exchange, audits), trained[name])
            row["relative_error"] = relative_errors(row["predicted"], row["real"])
        rows.append(row)
    return rows


def real(
    name: str,
    own: Sequence[Asked],
    truth: Mapping[str, Mapping[str, Any]],
    later: Mapping[str, Mapping[str, Any]],
    by_exchange: Mapping[str, Mapping[str, Any]],
    audits: defaultdict[str, list[Mapping[str, Any]]],
    shapes: Mapping[tuple[str, str], str],
) -> dict[str, Any]:
    """What one specialist did with the later requests of its application."""
    local = [one for one in own if of(one, name) and one.route == "local"]
    values = {one.id: str(by_exchange[one.exchange]["value"]) for one in local}
    wrong = sum(plain(values[one.id]) != plain(str(truth[one.id]["gold"])) for one in local)
    odd = 0
    for one in local:
        about = truth[one.id]
        if plain(values[one.id]) == plain(str(about["gold"])):
            odd += one.reply != shapes[about["task"], about["wording"]].replace("{label}", str(about["gold"]))
    asked = [audit for one in local for audit in audits[one.exchange]]
    rent = sum(rent_of(later[one.id]) for one in own)
    local_rent = sum(rent_of(later[one.id]) for one in local)
    here = {one.id for one in local}
    paid = sum(by_exchange[one.exchange]["cost"] or 0.0 for one in own if one.id not in here)
    audited = sum(audit["cost"] or 0.0 for audit in asked)
    audited_rent = sum(rent_of(later[one.id]) for one in local for _ in audits[one.exchange])
    error = wilson(wrong, len(local)) if local else None
    return {
        "requests": len(own),
        "recognised": round(sum(of(one, name) for one in own) / len(own), 4),
        "local": len(local),
        "share_local": round(len(local) / len(own), 4),
        "wrong": wrong,
        "error": None if error is None else [round(error.value, 4), round(error.low, 4), round(error.high, 4)],
        "not_in_shape": odd,
        "audits": len(asked),
        "audits_that_differ": sum(audit["agrees"] is False for audit in asked),
        "rent": rent,
        "rent_of_local": local_rent,
        "paid": paid,
        "paid_for_audits": audited,
        "paid_as_recorded": abs(paid + audited - (rent - local_rent + audited_rent)) < 1e-6,
        "rent_per_month": rent / LATER_DAYS * MONTH,
        "saving_per_month_without_audits": (rent - paid) / LATER_DAYS * MONTH,
        "saving_per_month_these_days": (rent - paid - audited) / LATER_DAYS * MONTH,
    }


def audits_of(
    name: str,
    own: Sequence[Asked],
    by_exchange: Mapping[str, Mapping[str, Any]],
    audits: defaultdict[str, list[Mapping[str, Any]]],
) -> list[Outcome]:
    """Confidence of each audited answer, and whether the upstream said the same."""
    return [
        (float(by_exchange[one.exchange]["confidence"]), audit["agrees"] is True)
        for one in own
        if of(one, name) and one.route == "local"
        for audit in audits[one.exchange]
    ]


def year(found: Mapping[str, Any], outcomes: Sequence[Outcome], training: Mapping[str, Any]) -> dict[str, Any]:
    """The first year of local answers like those of the later days: audited share, and the saving a month."""
    if not outcomes:
        return {"year_audited": None, "year_given": None, "saving_per_month": 0.0}
    rng, given, audited = random.Random(0), 0, 0
    answers = round(found["local"] / LATER_DAYS * 365.25)
    for _ in range(YEARS):
        watch = PromiseWatch(
            max_error=training["max_error"],
            confidence=training["confidence"],
            threshold=training["threshold"],
            audit_share=Gateway().audit_share,
            rng=rng,
        )
        for confidence, agrees in rng.choices(outcomes, k=answers):
            decision = watch.decide(confidence)
            given += decision.give
            if decision.give and decision.audit:
                audited += 1
                watch.audited(decision.rate, agrees, confidence, term=decision.term)
            elif not decision.give:
                watch.compared(confidence, agrees)
    # What is saved without audits, for each answer; an audit costs what one did.
    each, audit = (found["rent"] - found["paid"]) / found["local"], found["paid_for_audits"] / len(outcomes)
    return {
        "year_audited": round(audited / max(1, given), 4),
        "year_given": round(given / (YEARS * answers), 4),
        "saving_per_month": (given * each - audited * audit) / YEARS / 12,
    }


def relative_errors(predicted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, float | None]:
    """(predicted - real) / real; None where there is nothing real."""

    def error(expected: float | None, got: float) -> float | None:
        return None if expected is None or not got else round(expected / got - 1, 4)

    cost, week = predicted["cost_per_month"], predicted["first_week"]
    without = None if cost is None else cost * week["share_local"]
    these_days = None if without is None else without * (1 - week["audit_share"])
    return {
        "share_local": error(week["share_local"], found["share_local"]),
        "saving_per_month": error(predicted["saving_per_month"], found["saving_per_month"]),
        "saving_per_month_without_audits": error(without, found["saving_per_month_without_audits"]),
        "saving_per_month_these_days": error(these_days, found["saving_per_month_these_days"]),
        "rent_per_month": error(predicted["cost_per_month"], found["rent_per_month"]),
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many predictions are good enough, and the sums over the tasks."""
    both = [row for row in rows if "real" in row]
    found: dict[str, Any] = {"tasks": len(rows), "trained": len(both)}
    for key in (
        "share_local", "saving_per_month", "saving_per_month_without_audits", "saving_per_month_these_days",
    ):  # fmt: skip
        errors = [row["relative_error"][key] for row in both]
        found[key] = {
            "within_goal": sum(e is not None and abs(e) <= GOAL for e in errors),
            "worst": max((abs(e) for e in errors if e is not None), default=None),
            "nothing_real": errors.count(None),
        }
    for key in ("saving_per_month", "rent_per_month"):
        found[f"real_{key}"] = round(sum(row["real"][key] for row in both), 4)
    found["predicted_saving_per_month"] = round(sum(row["predicted"]["saving_per_month"] for row in both), 4)
    return found


def line(row: Mapping[str, Any]) -> str:
    """One task, readable: predicted against real."""
    if "real" not in row:
        return f"{row['task']} ({row['application']}): not trained: {row['training']['error']}"
    said, got, error = row["predicted"], row["real"], row["relative_error"]
    wrong = "–" if got["error"] is None else "{:.1%} [{:.1%}, {:.1%}]".format(*got["error"])
    return (
        f"{row['task']} ({row['application']}), {got['requests']} requests: recognised {got['recognised']:.1%}, local "
        f"{said['first_week']['share_local']:.1%} predicted, {got['share_local']:.1%} real "
        f"({_signed(error['share_local'])}), wrong {wrong}, "
        f"{got['not_in_shape']} not in shape, {got['audits']} audits, {got['audits_that_differ']} differ; saving a month "
        f"{said['saving_per_month']:.4f} predicted, {got['saving_per_month']:.4f} real ({_signed(error['saving_per_month'])}), "
        f"{got['saving_per_month_without_audits']:.4f} without audits "
        f"({_signed(error['saving_per_month_without_audits'])}), {got['saving_per_month_these_days']:.4f} these days "
        f"({_signed(error['saving_per_month_these_days'])})"
    )


def shapes_of(
    truth: Mapping[str, Mapping[str, Any]], later: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], str]:
    """How the plain replies of each wording look, `{label}` in the place of the label."""
    seen: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for name, about in truth.items():
        if isinstance(about["gold"], str) and about["noise"] == "":
            text = later[name]["response"]["choices"][0]["message"]["content"]
            seen[about["task"], about["wording"]][text.replace(about["gold"], "{label}")] += 1
    return {key: counts.most_common(1)[0][0] for key, counts in seen.items()}


def of(one: Asked, name: str) -> bool:
    """Whether a request was recognised as this task's."""
    return one.specialist.partition("@")[0] == name


def rent_of(record: Mapping[str, Any]) -> float:
    """What the recorded reply cost, US dollars, by the price book."""
    price = price_of(record["request"]["model"], {})
    if price is None:
        raise SystemExit(f"no price is known for {record['request']['model']!r}")
    usage = record["response"]["usage"]
    return float(price.of(usage["prompt_tokens"], usage["completion_tokens"]))


def key_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """The same messages, the same key."""
    return json.dumps([[m.get("role"), m.get("content")] for m in messages])


def plain(label: str) -> str:
    """A label without what spelling adds."""
    return label.replace("_", " ").strip().casefold()


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"


if __name__ == "__main__":
    main()
