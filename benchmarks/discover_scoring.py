"""How well discovered tasks fit the truth about the traffic: grouping, kinds, labels, schemas, verdicts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.metrics import adjusted_rand_score, completeness_score, homogeneity_score

LEFT_OVER = ""
"""The cluster of the records that are in no task."""
ENOUGH = 0.98
"""Share of an application's records that must be in tasks of its kind."""


def read_truth(folder: Path) -> dict[str, Any]:
    """What `traffic_mix` wrote in `truth.json`."""
    truth: dict[str, Any] = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    return truth


def score(found: Mapping[str, Any], truth: Mapping[str, Any], part: str = "history") -> dict[str, Any]:
    """The figures of one discovery.

    Args:
        found: what `shokunin discover --output json` printed.
        truth: of the traffic.
        part: which file was looked at.

    Returns:
        `ari` and more on the grouping, `counts` of records, for every application what became of it, and `all_right`.
    """
    records, corrupt = truth[part], truth["corrupt"][part]
    cluster_of, twice = clusters(found)
    names = sorted(records)
    given = [cluster_of.get(name, LEFT_OVER) for name in names]
    expected = [records[name]["task"] for name in names]
    counts = {key: _count(found["records"][key]) for key in ("in", "used", "set_aside")}
    result = {
        **grouping(expected, given),
        "in_two_tasks": twice,
        "unknown_ids": len(set(cluster_of) - set(records)),
        "left_over": given.count(LEFT_OVER),
        "counts": {
            **counts,
            "corrupt": len(corrupt),
            "right": counts["set_aside"] == len(corrupt) and counts["used"] == len(records)
            and counts["in"] == counts["used"] + counts["set_aside"],
        },
    }  # fmt: skip
    tasks = {task["name"]: task for task in found["tasks"]}
    together: dict[str, Counter[str]] = {name: Counter() for name in truth["applications"]}
    for task, cluster in zip(expected, given, strict=True):
        together[task][cluster] += 1
    of_cluster = {cluster: max(together, key=lambda name: together[name][cluster]) for cluster in set(given)}
    result["applications"] = [
        _application(name, about, together[name], tasks, of_cluster, records)
        for name, about in truth["applications"].items()
        if together[name]
    ]
    result["all_right"] = result["counts"]["right"] and all(one["right"] for one in result["applications"])
    return result


def grouping(expected: Sequence[str], given: Sequence[Any]) -> dict[str, Any]:
    """How alike two groupings of the same records are, and how many groups there are."""
    return {
        "ari": round(float(adjusted_rand_score(expected, given)), 4),
        "homogeneity": round(float(homogeneity_score(expected, given)), 4),
        "completeness": round(float(completeness_score(expected, given)), 4),
        "groups": len(set(given)),
    }


def clusters(found: Mapping[str, Any]) -> tuple[dict[str, str], int]:
    """The task of each record id, and how many ids are in more than one."""
    of_id: dict[str, str] = {}
    twice = 0
    for task in found["tasks"]:
        for name in task["record_ids"]:
            twice += name in of_id
            of_id[name] = task["name"]
    return of_id, twice


def sampled(
    found: Mapping[str, Any], truth: Mapping[str, Any], ids: Sequence[str], part: str = "history"
) -> dict[str, Any]:
    """The grouping of some of the records."""
    cluster_of, _ = clusters(found)
    return grouping([truth[part][i]["task"] for i in ids], [cluster_of.get(i, LEFT_OVER) for i in ids])


def _application(
    name: str,
    about: Mapping[str, Any],
    where: Counter[str],
    tasks: Mapping[str, Mapping[str, Any]],
    of_cluster: Mapping[str, str],
    records: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What became of one application: the tasks that are mostly made of it, and the one that holds most of it."""
    own = [cluster for cluster in where if of_cluster[cluster] == name and cluster != LEFT_OVER]
    total = sum(where.values())
    main = max(own, key=lambda cluster: where[cluster], default=LEFT_OVER)
    task = tasks.get(main)
    result: dict[str, Any] = {
        "application": name,
        "kind": about["kind"],
        "records": total,
        "in_main_task": round(where[main] / total, 4),
        "tasks": {cluster: where[cluster] for cluster in own},
        "found_kinds": sorted({str(tasks[cluster]["kind"]) for cluster in own}),
        "verdicts": sorted({str(tasks[cluster]["verdict"]) for cluster in own}),
    }
    kinds = {cluster: str(tasks[cluster]["kind"]) if cluster in tasks else "chat" for cluster in where}
    in_kind = sum(n for cluster, n in where.items() if kinds[cluster] == about["kind"])
    result["in_right_kind"] = round(in_kind / total, 4)
    if about["kind"] == "chat":
        left = sum(n for cluster, n in where.items() if cluster not in tasks or tasks[cluster]["verdict"] == "LEAVE")
        result["left"] = round(left / total, 4)
        result["right"] = left == total
        return result
    result["right"] = kinds.get(main) == about["kind"] and in_kind >= ENOUGH * total
    if about["labels"] and task is not None:
        gold = Counter(r["gold"] for r in records.values() if r["task"] == name)
        result["labels"] = _labels(gold, task.get("labels") or ())
        result["right"] &= result["labels"]["exact"]
    if about["fields"] and task is not None:
        fields = fields_of(task.get("schema"))
        result["fields"] = {"exact": sorted(fields) == sorted(about["fields"]), "found": sorted(fields)}
        result["right"] &= result["fields"]["exact"]
    return result


def _labels(gold: Counter[str], given: Sequence[str]) -> dict[str, Any]:
    """Whether the labels are those that occur; what is missing is told with how often it is the right answer."""
    missing, extra = sorted(set(gold) - set(given)), sorted(set(given) - set(gold))
    plain = {_plain(label) for label in gold}, {_plain(label) for label in given}
    return {
        "expected": len(gold),
        "found": len(given),
        "exact": not missing and not extra,
        "exact_but_for_spelling": plain[0] == plain[1] and len(given) == len(set(given)),
        "missing": {label: gold[label] for label in missing},
        "extra": extra,
    }


def fields_of(schema: Any) -> list[str]:
    """The names of the fields, from a JSON schema, a mapping of names, or a list of them."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        return list(properties) if isinstance(properties, Mapping) else list(schema)
    return [str(one["name"]) if isinstance(one, Mapping) else str(one) for one in schema or ()]


def _count(value: Any) -> int:
    """A number of records; where reasons are told, their sum."""
    if isinstance(value, Mapping):
        return sum(_count(one) for one in value.values())
    return int(value)


def _plain(label: str) -> str:
    return re.sub(r"[\s_-]+", " ", label).strip().casefold()
