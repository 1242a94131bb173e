"""Where values are computed: once, and outside of the loops that do not change them."""

from __future__ import annotations

from itertools import count

from rnncc.codegen.emit import emit
from rnncc.codegen.regions import Regions
from rnncc.codegen.target import Target
from rnncc.loop.parser import parse


def test_a_value_stands_in_the_region_of_its_innermost_operand() -> None:
    regions, numbers = Regions(), count(1)

    def value(instruction: str, *operands: str) -> str:
        return regions.value(instruction, regions.depth_of(operands), lambda: f"%{next(numbers)}")

    regions.append("start")
    regions.enter()
    regions.append("loop")
    regions.bind("%j")
    assert value("mul %b, 8", "%b") == "%1"
    assert value("add %1, %j", "%1", "%j") == "%2"
    assert value("mul %b, 8", "%b") == "%1"
    regions.leave()
    assert value("mul %b, 8", "%b") == "%1"
    assert regions.lines == ["start", "  %1 = mul %b, 8", "loop", "  %2 = add %1, %j"]


def test_what_could_fail_stays_where_it_is() -> None:
    regions, numbers = Regions(), count(1)

    def here() -> str:
        return regions.value_here("udiv 8, %b", 0, lambda: f"%{next(numbers)}")

    regions.enter()
    regions.append("loop")
    assert (here(), here()) == ("%1", "%1")
    regions.leave()
    regions.append("behind")
    assert here() == "%2"
    regions.enter()
    assert here() == "%2"
    assert regions.lines == ["loop", "  %1 = udiv 8, %b", "behind", "  %2 = udiv 8, %b"]


def body_of(text: str) -> str:
    """The loops of a procedure with one input `x` and one output `y`, as LLVM IR."""
    procedure = parse(f"""
def f(B, N):
    x = input(f32, [B, N, 4])
    i_of = register(i64, [1])
    y = output(f32, [B, N])
    {text}
""")
    emitted = emit(procedure, Target.parse("host")).text
    return emitted[: emitted.index("declare")] if "declare" in emitted else emitted


def test_addresses_move_out_of_loops() -> None:
    """A turn over j adds j to two pointers, and two numbers to one of them."""
    text = body_of("""
    for b in parallel(0, B):
        for j in parallel(0, N):
            y[b, j] = x[b, j, 1] + x[b, j, 2]
""")
    inner = text[text.index("\nj.parallel:") : text.index("\nj.parallel.latch:")]
    assert inner.count("getelementptr") == 4
    assert "mul" not in inner
    assert text.count("mul i64") == 3  # the stride N * 4, and b times both strides


def test_a_loop_of_one_turn_is_no_loop() -> None:
    text = body_of("""
    for j in parallel(3, 4):
        y[j, 0] = x[j, 0, 0]
""")
    assert "j.parallel" not in text
    assert "phi" not in text


def test_a_register_is_known_until_a_loop_writes_it() -> None:
    text = body_of("""
    i_of[0] = 1
    for j in parallel(0, N):
        y[0, j] = x[0, i_of[0], 0]
    for j in parallel(0, N):
        y[0, j] = x[0, i_of[0], 0]
        i_of[0] = j
""")
    assert text.count("load i64, ptr %register") == 1
