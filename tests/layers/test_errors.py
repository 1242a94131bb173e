"""Messages for wrong input are golden text: what, both sides, where the user wrote it, what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rnncc.errors import RnnccError
from rnncc.layers.naming import clear_session
from tests.layers.error_cases import CASES

GOLDEN = Path(__file__).parent / "errors.txt"


def message(case: Callable[[], None]) -> str:
    """The title of a case, its error class and its message, without line numbers and the memory of this machine."""
    clear_session()
    with pytest.raises(RnnccError) as caught:
        case()
    text = re.sub(r"error_cases\.py:\d+", "error_cases.py", str(caught.value))
    text = re.sub(r"<function (\w+) at 0x\w+>", r"<function \1>", text)
    text = re.sub(r"(free: +)[\d.]+ \w+", r"\1...", text)
    return f"# {case.__name__.replace('_', ' ')}\n{type(caught.value).__name__}: {text}\n"


def test_messages(request: pytest.FixtureRequest) -> None:
    messages = [message(case) for case in CASES]
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text("\n".join(messages))
    assert "\n".join(messages) == GOLDEN.read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_message_says_where(case: Callable[[], None]) -> None:
    assert "\n  at error_cases.py: " in message(case), "the user's line is part of every message"
