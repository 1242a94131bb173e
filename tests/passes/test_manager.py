"""The pass manager, over an IR that is a list of words."""

from dataclasses import dataclass

import pytest

from rnncc.errors import VerifyError
from rnncc.passes.manager import Pass, Snapshot, run_passes


@dataclass(frozen=True)
class Words:
    words: tuple[str, ...]


def verify(ir: Words) -> None:
    for word in ir.words:
        if word.isupper():
            raise VerifyError(f"{word} is too loud", f"1 | {word}")


def run(ir: Words, *passes: Pass[Words]) -> tuple[Words, list[Snapshot[Words]]]:
    return run_passes(ir, passes, verify=verify, show=lambda ir: " ".join(ir.words), count=lambda ir: len(ir.words))


DROP = Pass("drop", "the first is one too many", lambda ir: Words(ir.words[1:]))
STAY = Pass("stay", "nothing to do", lambda ir: ir)
SHOUT = Pass("shout", "a wrong one", lambda ir: Words(tuple(word.upper() for word in ir.words)))


def test_snapshots() -> None:
    start = Words(("a", "b", "c"))
    end, (first, second, third) = run(start, DROP, STAY, DROP)
    assert end == Words(("c",))
    assert (first.name, first.reason, first.changed) == ("drop", "the first is one too many", True)
    assert (first.nodes_before, first.nodes_after, first.text) == (3, 2, "b c")
    assert (second.changed, second.nodes_before, second.nodes_after) == (False, 2, 2)
    assert second.ir is first.ir
    assert third.text == "c"
    assert all(snapshot.milliseconds >= 0 for snapshot in (first, second, third))


def test_no_passes() -> None:
    start = Words(("a",))
    assert run(start) == (start, [])


def test_an_invalid_result_names_the_pass() -> None:
    with pytest.raises(VerifyError) as error:
        run(Words(("a", "b", "c")), DROP, STAY, SHOUT, DROP)
    assert str(error.value) == (
        "after shout: B is too loud\n"
        "  1 | B\n"
        "  passes that changed the words so far: drop, shout\n"
        "  this is a bug in rnncc; `rnncc bisect FILE` names the first wrong pass"
    )


def test_a_pass_that_fails_is_not_blamed_for_an_invalid_ir() -> None:
    def fail(ir: Words) -> Words:
        raise AssertionError("what is this")

    with pytest.raises(VerifyError, match="after shout: A is too loud"):
        run(Words(("a",)), SHOUT, Pass("fail", "it cannot read that", fail))
    with pytest.raises(AssertionError, match="what is this"):
        run(Words(("a", "b")), DROP, Pass("fail", "it fails", fail))


def test_only_what_changed_is_verified() -> None:
    loud = Words(("A",))
    assert run(loud, STAY)[0] is loud
