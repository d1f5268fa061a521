"""The kind `generate_text`: a text is written in answer to a text: a reply in the house's tone, or SQL for a question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import expit

from shokunin import metrics
from shokunin.answer import Answer, Inputs
from shokunin.calibration import Calibration, calibration_from_dict
from shokunin.dataset import Example
from shokunin.errors import TaskError
from shokunin.files import read_json
from shokunin.forms import Conversation, Conversations, Form, Lessons, Raw, Written
from shokunin.language import sql
from shokunin.language.writing_metrics import chrf, exact_match, rouge_l
from shokunin.metrics import Comparison, Interval
from shokunin.task import Task
from shokunin.tasks import chat
from shokunin.template import Template

FORMS: tuple[Form, ...] = ("conversation",)
LABELS = False
HUB_TASK = "text-generation"
LONGEST = 200_000
SURE = 30.0
_FENCE = re.compile(r"^```[a-zA-Z]*\s*\n?|\s*```$")
MEASURES = {"exact_match": exact_match, "rouge_l": rouge_l, "chrf": chrf}


class Options(BaseModel):
    """What writing has to be told; nothing must be.

    Attributes:
        instructions: what the model is told before every request; the shorter the faster. A small model that was trained on
            the task needs none.
        language: `sql` where every answer is one SELECT; it is then parsed before it is given.
        dialect: of the SQL, as sqlglot names it.
        database: an SQLite file that answers are run on, read-only, when they are proven (metric `execution`); a relative path
            is relative to the project's folder, and goes on working where that is moved.
        good_enough: with the metrics `rouge_l` and `chrf` an answer counts as right from this value on.
        longest: an answer has at most so many tokens.
    """

    model_config = ConfigDict(extra="forbid")
    instructions: str = ""
    language: Literal["text", "sql"] = "text"
    dialect: str = "sqlite"
    database: str | None = None
    good_enough: float = Field(default=0.7, gt=0, le=1)
    longest: int = Field(default=256, gt=0, le=8192)


def check(task: Task, folder: Path = Path()) -> None:
    """The options must be those of writing, and fit the metric.

    Raises:
        TaskError: one is unknown or wrong, or the database that the metric needs is not named or not there.
    """
    options = _options(task)
    if task.metric == "execution" and options.database is None:
        raise TaskError(
            f'task {task.name!r} is measured by execution, so it needs a database: database = "shop.sqlite" under [options]'
        )
    if options.dialect != "sqlite" and sql.parse("SELECT 1", options.dialect).problem is not None:
        raise TaskError(
            f"task {task.name!r} has the SQL dialect {options.dialect!r}, which is unknown; expected one as sqlglot names it: "
            "sqlite, postgres, mysql, tsql, bigquery, snowflake …"
        )
    if options.database is not None and options.language != "sql":
        raise TaskError(
            f'task {task.name!r} has a database but its answers are no SQL; write language = "sql" beside it'
        )
    if options.database is not None and not (folder / options.database).is_file():
        raise TaskError(
            f"task {task.name!r} has the database {options.database!r}, which is no file{_within(options.database, folder)}; "
            "expected an SQLite file"
        )


def settle(task: Task, rows: Sequence[Mapping[str, str]]) -> Task:
    """The task with its language and the longest answer, as the rows show them."""
    told = _options(task)
    answers = [row[task.target].strip() for row in rows if row.get(task.target, "").strip()]
    if "language" not in told.model_fields_set and answers and _are_sql(answers, told.dialect):
        told = told.model_copy(update={"language": "sql"})
    if "longest" not in told.model_fields_set and answers:
        # No tokenizer makes more than a token a character; words mostly take one for three or four.
        told = told.model_copy(update={"longest": min(2048, 32 + max(map(len, answers)) * 2 // 3)})
    return replace(task, options=told.model_dump(exclude_none=True))


def gather(task: Task, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterable[Example]:
    """One row is one example; where answers are SQL, one that cannot be parsed is set aside."""
    told = _options(task)
    for origin, row in rows:
        answer = str(row.get(task.target) or "").strip()
        problem = None
        if answer and told.language == "sql":
            found = sql.parse(answer, told.dialect).problem
            problem = None if found is None else "the answer is no SQL that can be parsed"
        yield Example({name: str(row.get(name) or "") for name in task.inputs}, answer or None, origin, problem=problem)


def prepare(task: Task, examples: Sequence[Example], side_files: Path) -> None:
    """Nothing: all that the codec needs is in the task's options."""


def codec(task: Task, side_files: Path) -> WritingCodec:
    """The codec, from the task and, once it is there, `calibration.json`."""
    path = side_files / "calibration.json"
    calibration = calibration_from_dict(read_json(path)) if path.exists() else Calibration()
    database = _options(task).database
    return WritingCodec(task, calibration, None if database is None else _located(database, side_files))


def described(options: Mapping[str, Any], labels: Sequence[str]) -> tuple[str, Sequence[str]]:
    """What it does, for its card."""
    return ("It writes SQL." if Options(**options).language == "sql" else "It writes a text in answer to a text."), ()


class WritingCodec:
    """Requests to conversations, what was written to answers, and how good they are."""

    none_labels: tuple[str, ...] = ()

    def __init__(self, task: Task, calibration: Calibration, database: Path | None = None) -> None:
        self._task = task
        self._told = _options(task)
        self._calibration = calibration
        self._database = Path(self._told.database) if database is None and self._told.database else database
        self._run = lru_cache(maxsize=20_000)(self._executed)
        self._tables = lru_cache(maxsize=1)(sql.schema_text)

    @property
    def calibration(self) -> Calibration:
        """The numbers that turn log-odds into confidence and decisions."""
        return self._calibration

    @property
    def hints(self) -> Mapping[str, Any]:
        """The database, whose values a learner may know by heart, and whether answers are SQL."""
        told: dict[str, Any] = {"answers": self._told.language}
        if self._database is not None:
            told["database"] = str(self._database)
        return told

    def lessons(self, examples: Sequence[Example], form: Form = "conversation") -> Lessons:
        """The examples as conversations with their answers; all must have one.

        SQL is learnt in its canonical spelling: half the tokens (31 for 57 in GeoQuery's questions), and one way to say it.
        """
        asked = tuple(self.encode([e.inputs for e in examples], form))
        groups = np.asarray([e.group for e in examples], dtype=np.int64)
        return Conversations(asked, tuple(self._spelled(e.expected or "") for e in examples), groups)

    def encode(self, batch: Sequence[Inputs], form: Form = "conversation") -> list[Conversation]:
        """The instructions, if there are any, and the request."""
        told = ({"role": "system", "content": self._told.instructions},) if self._told.instructions else ()
        return [
            Conversation(
                (*told, {"role": "user", "content": chat.input_text(self._task, row)}), longest=self._told.longest
            )
            for row in batch
        ]

    def problem(self, inputs: Inputs) -> str | None:
        """Why this input cannot be answered, or None."""
        found = chat.problem(inputs, self._task.inputs)
        if found is None and sum(len(inputs[name]) for name in self._task.inputs) > LONGEST:
            return f"the request has more than {LONGEST:,} characters; shorten it"
        return found

    def decode(self, raw: Raw, answered_by: str, batch: Sequence[Inputs] = ()) -> list[Answer]:
        """What was written; an answer that did not end, or is no SQL where it should be, is a problem."""
        rows = cast(Sequence[Written], raw)
        return [self._answer(row, e, answered_by) for row, e in zip(rows, self.evidence(raw), strict=True)]

    def evidence(self, raw: Raw, batch: Sequence[Inputs] = ()) -> npt.NDArray[np.float64]:
        """The log-odds of the probability that the model gave to the whole answer."""
        return np.asarray([_log_odds(row) for row in cast(Sequence[Written], raw)], dtype=np.float64)

    def correct(self, expected: str, value: str | None) -> bool:
        """Whether the answer is right by the task's metric; one measured by likeness is from `good_enough` on.

        Where the database is not at hand, as on a machine that only serves, only the same query counts as right.
        """
        if value is None:
            return False
        metric = self._task.metric
        if metric == "execution" and not (self._database and self._database.is_file()):
            metric = "exact_match"
        return self._mark(metric, expected, value) >= self._least

    def scores(
        self, expected: Sequence[str], given: Sequence[str | None], groups: Sequence[Any], *, seed: int = 0
    ) -> dict[str, Interval]:
        """`exact_match`, `rouge_l`, `chrf`, and `execution` where the task names a database.

        Raises:
            TaskError: the database is not there.
        """
        measures = [*(["execution"] if self._told.database is not None else []), *MEASURES]
        return {m: metrics.mean(self._marks(m, expected, given), groups, seed=seed) for m in measures}

    def compare(
        self,
        expected: Sequence[str],
        a: Sequence[str | None],
        b: Sequence[str | None],
        groups: Sequence[Any],
        *,
        seed: int = 0,
    ) -> Comparison:
        """Two predictors' answers to the same rows by the task's metric."""
        first, second = (self._marks(self._task.metric, expected, given) for given in (a, b))
        if np.isin([*first, *second], (0.0, 1.0)).all():
            return metrics.compare_accuracy(first == 1.0, second == 1.0, groups, seed=seed)
        return metrics.paired_bootstrap(first, second, groups, seed=seed)

    def trivial(self, examples: Sequence[Example]) -> str:
        """The commonest answer."""
        return Counter(e.expected or "" for e in examples).most_common(1)[0][0]

    def phrased(self, messages: Sequence[Mapping[str, Any]]) -> Template | None:
        """The wording that fits, if it is specific."""
        return chat.phrased(self._task, messages)

    def read_chat(self, messages: Sequence[Mapping[str, Any]]) -> Inputs:
        """The request in the slots of the wording that fits, or in the last user message."""
        return chat.read_chat(self._task, messages)

    def write_chat(self, answer: Answer, wording: Template | None = None) -> str:
        """The answer, in the reply pattern of the wording if there is one."""
        if answer.value is None or wording is None:
            return answer.value or ""
        return wording.write(answer.value)

    def ask_chat(self, inputs: Inputs, wording: Template | None = None) -> list[dict[str, str]]:
        """The wording filled in; else the request with the instructions, and for SQL the tables of the database."""
        template = wording or self._task.template
        if template is not None and chat.fits(template, inputs):
            return template.render(inputs)
        told = [self._told.instructions] if self._told.instructions else []
        if self._told.language == "sql":
            told.append(f"Answer with one {self._told.dialect} SELECT and nothing else.")
            if self._database is not None and self._database.is_file():
                told.append("The tables:\n" + self._tables(self._database))
        system = [{"role": "system", "content": "\n".join(told)}] if told else []
        return [*system, {"role": "user", "content": chat.input_text(self._task, inputs)}]

    def read_reply(self, reply: str, wording: Template | None = None) -> str | None:
        """The answer in a large model's reply; of SQL without the fence around it, and None where it cannot be parsed."""
        template = wording or self._task.template
        inner = None if template is None else template.read(reply)
        text = (reply if inner is None else inner).strip()
        if self._told.language == "sql":
            text = _FENCE.sub("", text).strip()
            return text if text and sql.parse(text, self._told.dialect).problem is None else None
        return text or None

    @property
    def streams(self) -> bool:
        """SQL is parsed before it is given, and that takes the whole."""
        return self._told.language != "sql"

    def certain(self, written: str) -> str:
        """White space at the end may become the end of the answer, which has none."""
        return written.strip()

    def verify(self, inputs: Inputs, value: str) -> str | None:
        """What is wrong with an answer as such: SQL that cannot be parsed or does not run; else None."""
        if self._told.language != "sql":
            return None if value.strip() else "the answer is empty"
        if (problem := sql.parse(value, self._told.dialect).problem) is not None:
            return problem
        return sql.run(value, self._database).problem if self._database is not None else None

    def _spelled(self, answer: str) -> str:
        if self._told.language != "sql":
            return answer
        return sql.parse(answer, self._told.dialect).text or answer

    @property
    def _least(self) -> float:
        return self._told.good_enough if self._task.metric in ("rouge_l", "chrf") else 1.0

    def _marks(self, metric: str, expected: Sequence[str], given: Sequence[str | None]) -> npt.NDArray[np.float64]:
        pairs = zip(expected, given, strict=True)
        return np.asarray([0.0 if g is None else self._mark(metric, e, g) for e, g in pairs], dtype=np.float64)

    def _mark(self, metric: str, expected: str, value: str) -> float:
        if metric == "execution":
            return self._run(expected, value)
        return MEASURES[metric](self._spelled(expected), self._spelled(value))

    def _executed(self, expected: str, value: str) -> float:
        if self._database is None or not self._database.is_file():
            raise TaskError(
                f"the answers of task {self._task.name!r} are right if they find the same in the database "
                f"{self._told.database!r}, which is not there; a relative path is looked for in the project's folder. Put the "
                "file there, or name it in task.toml and train again"
            )
        return float(sql.execution_match(expected, value, self._database).right is True)

    def _answer(self, row: Written, evidence: float, answered_by: str) -> Answer:
        value = row.text.strip()
        problem = row.problem
        if problem is None and not row.finished:
            problem = f"the answer did not end within {self._told.longest} tokens"
        if problem is None and not value:
            problem = "the model wrote nothing"
        if problem is None and self._told.language == "sql":
            found = sql.parse(value, self._told.dialect).problem
            problem = None if found is None else f"the model wrote no SQL that can be parsed: {found}"
        if problem is not None:
            cut = row.problem is None and not row.finished
            return Answer(None, 0.0, answered_by, problem=problem, sure=False, tokens=row.tokens_out, cut=cut)
        made = self._calibration
        confidence = float(expit(evidence / made.temperature + made.offset))
        sure = made.promise is None or confidence >= made.promise.threshold
        return Answer(value, confidence, answered_by, sure=sure, tokens=row.tokens_out)


def _located(database: str, near: Path) -> Path:
    """The file: of a relative path the first that is there in the folders around `near`, one of which is the project's."""
    around = near.resolve().parents
    return next((folder / database for folder in around if (folder / database).is_file()), Path(database))


def _within(database: str, folder: Path) -> str:
    return "" if Path(database).is_absolute() else f" in the project's folder {str(folder.resolve())!r}"


def _options(task: Task) -> Options:
    try:
        return Options(**task.options)
    except (ValidationError, TypeError) as error:
        said = str(error).splitlines()
        raise TaskError(
            f"the options of task {task.name!r} are not those of writing: {'; '.join(s.strip() for s in said[1:3])}; "
            f"known are {', '.join(Options.model_fields)}"
        ) from error


def _are_sql(answers: Sequence[str], dialect: str) -> bool:
    return all(map(sql.sql_like, answers[:100])) and all(sql.parse(a, dialect).problem is None for a in answers[:20])


def _log_odds(row: Written) -> float:
    if row.problem is not None or not row.finished:
        return -SURE
    if not row.logprobs:
        return 0.0
    return metrics.log_odds(sum(row.logprobs))
