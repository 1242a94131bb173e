"""Messages for wrong input are golden text: what, both sides, where the user wrote it, what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from rnncc.errors import RnnccError
from rnncc.layers.naming import clear_session
from tests.layers.errors import arguments, arrays, calls, functions, models, weights

GROUPS = (arguments, calls, functions, weights, models, arrays)


def cases(group: ModuleType) -> list[Callable[[], None]]:
    """The functions of a file whose names do not begin with an underscore, in order."""
    own = [item for item in vars(group).values() if getattr(item, "__module__", "") == group.__name__]
    return [item for item in own if not isinstance(item, type) and not item.__name__.startswith("_")]


CASES = [case for group in GROUPS for case in cases(group)]


def message(case: Callable[[], None]) -> str:
    """The title of a case, its error class and its message, without line numbers and the memory of this machine."""
    clear_session()
    with pytest.raises(RnnccError) as caught:
        case()
    text = re.sub(r"( at \w+\.py):\d+", r"\1", str(caught.value))
    text = re.sub(r"<function (\w+) at 0x\w+>", r"<function \1>", text)
    text = re.sub(r"(free: +)[\d.]+ \w+", r"\1...", text)
    return f"# {case.__name__.replace('_', ' ')}\n{type(caught.value).__name__}: {text}\n"


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__.rpartition(".")[2])
def test_messages(group: ModuleType, request: pytest.FixtureRequest) -> None:
    golden = Path(group.__file__ or "").with_suffix(".txt")
    messages = "\n".join(map(message, cases(group)))
    if request.config.getoption("--update-golden"):
        golden.write_text(messages)
    assert messages == golden.read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_message_says_where(case: Callable[[], None]) -> None:
    file = case.__module__.rpartition(".")[2]
    assert f"\n  at {file}.py: " in message(case), "the user's line is part of every message"
