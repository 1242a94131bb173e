"""What wrong compilations and calls say is golden text; and a call that failed leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rnncc
from rnncc import ops
from rnncc.errors import MemoryLimitError, RnnccError, TokenError
from rnncc.runtime.memory import available_memory
from tests.runtime.error_cases import ARGUMENTS, COMPILING, IDS, LENGTHS, MEMORY, TOKENS, words

GOLDEN = Path(__file__).parent / "errors.txt"
CASES = (*COMPILING, *ARGUMENTS, *LENGTHS, *TOKENS, *MEMORY)


def message(case: Callable[[], None]) -> str:
    """The title of a case, its error class and its message, without line numbers and the memory of this machine."""
    with pytest.raises(RnnccError) as caught:
        case()
    text = re.sub(r"error_cases\.py:\d+", "error_cases.py", str(caught.value))
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


@pytest.mark.parametrize("case", TOKENS, ids=lambda case: case.__name__)
def test_wrong_ids_are_index_errors(case: Callable[[], None]) -> None:
    assert issubclass(TokenError, IndexError)
    with pytest.raises(IndexError):
        case()


@pytest.mark.parametrize("case", MEMORY, ids=lambda case: case.__name__)
def test_too_large_calls_are_memory_errors(case: Callable[[], None]) -> None:
    assert issubclass(MemoryLimitError, MemoryError)
    before = available_memory()
    with pytest.raises(MemoryError):
        case()
    assert available_memory() > before - (1 << 30)  # nothing was taken on the way


@pytest.mark.parametrize("units", [10**9, 10**7])
def test_a_layer_too_large_for_the_limit_of_the_process(units: int) -> None:
    """The system has more memory than the 4 GB that this process may take: it is neither killed nor out of words."""
    program = f"""
import resource, numpy as np
resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
import rnncc
from rnncc import layers
try:
    layers.SimpleRNN({units})(np.zeros((2, 3, 4), "f4"))
except rnncc.errors.MemoryLimitError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert re.fullmatch(
        r"not enough memory for the weight simple_rnn/\w+\n"
        r"  needed: [\d.]+ [GPT]B for f32\[\d+, \d+\]\n"
        r"  free:   [0-3]\.\d\d GB\n"
        r"  use fewer units, a smaller vocabulary, or a machine with more memory\n",
        done.stdout,
    )


def test_the_next_call_is_right() -> None:
    expected = words()(IDS + 1)
    for case in (*ARGUMENTS, *LENGTHS, *TOKENS, *MEMORY):
        with pytest.raises(RnnccError):
            case()
        np.testing.assert_array_equal(words()(IDS + 1), expected)


def test_every_place_of_a_wrong_id_is_found() -> None:
    for row in range(5):
        for column in range(7):
            ids = np.arange(35).reshape(5, 7) % 11
            ids[row, column] = -3
            with pytest.raises(TokenError, match=rf"ids holds -3 at position \({row}, {column}\), outside the table"):
                words()(ids)


def test_ids_that_a_scan_makes_are_checked_too() -> None:
    """The lookup in a step reads what the step before computed."""

    def model(table: object, start: object, n: object) -> object:
        def step(carry: object, _: object) -> tuple[object, object]:
            return carry + 1, ops.take(table, carry)  # type: ignore[operator]

        return rnncc.scan(step, start, n)[1]

    fn = rnncc.compile(rnncc.trace(model, ("float32", (5, 2)), ("int64", ("B",)), ("float32", ("T",))))
    table = np.arange(10, dtype=np.float32).reshape(5, 2)
    np.testing.assert_array_equal(fn(table, [0, 1], np.zeros(4)), [table[[t, t + 1]] for t in range(4)])
    with pytest.raises(TokenError, match=r"holds 5 at position .*, outside the table of 5 rows"):
        fn(table, [0, 1], np.zeros(5))
