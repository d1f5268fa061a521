"""What a conversation asks, as one text: the part of its messages in which it differs from the others of its task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shokunin.forms import Conversation


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands before and after the question in every prompt of a task."""

    before: str = ""
    after: str = ""

    def inside(self, text: str) -> str:
        """The text without the frame, where it has it."""
        if not (text.startswith(self.before) and text.endswith(self.after)):
            return text
        if len(text) < len(self.before) + len(self.after):
            return text
        return text[len(self.before) : len(text) - len(self.after)]


def asked_text(conversation: Conversation, frame: Frame = Frame()) -> str:
    """The messages but the system's, under each other and without the frame; the system's alone if there are no others."""
    messages = [m for m in conversation.messages if m["role"] != "system"] or list(conversation.messages)
    return frame.inside("\n".join(message["content"] for message in messages))


def frame_of(conversations: Sequence[Conversation]) -> Frame:
    """What all prompts begin and end with, whole lines only: a wording such as `Question:` above the question."""
    texts = list(dict.fromkeys(asked_text(conversation) for conversation in conversations))
    if len(texts) < 2:
        return Frame()
    before = _shared(texts)
    before = before[: before.rfind("\n") + 1]
    rest = [text[len(before) :] for text in texts]
    after = _shared([text[::-1] for text in rest])[::-1]
    start = after.find("\n")
    return Frame(before, after[start:] if start >= 0 else "")


def _shared(texts: Sequence[str]) -> str:
    """What all texts begin with: what the first and the last in order begin with."""
    first, last = min(texts), max(texts)
    return first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
