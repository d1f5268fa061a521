"""Record: what one shape finds in one object, before it is a Call; and the reasons why an object is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ERROR = "an error reply"
NO_REPLY = "no reply"
REFUSED = "the model refused to answer"
NO_MESSAGES = "no messages"
MEDIA = "pictures or sound in the messages"
NO_MODEL_CALL = "not a call of a language model"
NOT_KEPT = "bodies that were not kept"
NOT_ASKED = "an audit or a correction, which no application asked for"
SEVERAL = "several prompts in one request"
UNREADABLE = "a reply in a form that is not read"
SURROGATE = "half a surrogate pair, which is no character"
UNKNOWN = "no record of a call in a shape that is read"

Messages = Sequence[Mapping[str, Any]]


@dataclass(slots=True, kw_only=True)
class Record:
    """What a shape finds; values are as they stand in the object, whatever their type.

    Attributes:
        messages: the request's messages, as a chat client sends them; empty if there are none.
        reply: the text of the answer; None where a tool was called, and where `fault` says why there is no answer.
        fault: why this is no Call: one of the reasons of this module, or "".
        is_example: whether it is a line of a file of examples, which are about one task, and no traffic.
    """

    messages: Messages = ()
    reply: str | None = None
    fault: str = ""
    id: Any = None
    model: Any = None
    timestamp: Any = None
    client: Any = None
    workload: Any = None
    prompt_tokens: Any = None
    completion_tokens: Any = None
    seconds: Any = None
    cost: Any = None
    local: bool = False
    is_example: bool = False
