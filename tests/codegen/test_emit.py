"""Emitted code: every op sample on every target that runs here, checks, masked tails, and what the text promises."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rnncc.codegen.emit import emit
from rnncc.codegen.native import compile_module
from rnncc.codegen.places import ascii_name
from rnncc.codegen.target import KNOWN_TARGETS, Target
from rnncc.loop.interp import interpret
from rnncc.loop.ir import Procedure
from rnncc.loop.parser import parse
from rnncc.loop.verify import verify
from rnncc.lower.lower import lower
from rnncc.pipeline import loop_passes, machine_of
from tests.ops.samples import EXTENTS, SAMPLES
from tests.ops.test_ops import evaluate, graph_of
from tests.runtime.native import NativeCheckFailed, run_native
from tests.tolerances import SAME_SUMS, assert_close

TARGETS = [name for name in KNOWN_TARGETS if Target.parse(name).runs_on_host]


def scheduled(procedure: Procedure, target: str) -> Procedure:
    """`procedure` after all loop passes for `target`."""
    for step in loop_passes(machine_of(Target.parse(target), "float32")):
        procedure = step.run(procedure)
    verify(procedure)
    return procedure


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", SAMPLES)
def test_samples_of_every_op(name: str, target: str) -> None:
    """All samples of an op in one module would be one graph each; the fast path through LLVM keeps this short."""
    for number, sample in enumerate(SAMPLES[name]):
        graph = graph_of(name, sample)
        arrays = {value.name: array for value, array in zip(graph.inputs, sample.arrays(), strict=False)}
        arrays["dims"] = np.zeros(tuple(EXTENTS.values()), graph.inputs[-1].type.dtype.numpy)
        actual = run_native(scheduled(lower(graph), target), arrays, EXTENTS, target, level=0)
        expected = evaluate(name, sample, sample.arrays())
        for (output, given), wanted in zip(actual.items(), expected, strict=True):
            assert_close(given, np.asarray(wanted), SAME_SUMS, f"{output} of sample {number}")


# ------------------------------------------------------------------ one function, many sizes


def pointwise(expression: str, source: str, result: str) -> Procedure:
    """`y[j] = expression` of `x[j]` over an extent N: whole vectors, and a masked tail."""
    return parse(f"""
def f(N):
    x = input({source}, [N])
    y = output({result}, [N])
    for j in parallel(0, N):
        y[j] = {expression}
""")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_floor(target: str, dtype: str) -> None:
    numpy = np.dtype({"f32": np.float32, "f64": np.float64}[dtype])
    edge = 2.0 ** (23 if dtype == "f32" else 52)
    x = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, -2.5, edge - 0.5, -edge + 0.5, edge, -edge, edge + 1]
    x += [2.0**31, -(2.0**31), 2.0**31 + 0.5, 2.0**62, 2.0**63, -(2.0**63), 2.0**64, 1e30, -1e30, np.inf, -np.inf]
    x += [np.nan, 1e-45, -1e-45, 0.99999994, -0.99999994, 8388607.5, -8388607.5]
    given = np.array(x, numpy)
    (actual,) = run_native(
        scheduled(pointwise("floor(x[j])", dtype, dtype), target), {"x": given}, {"N": len(x)}, target
    ).values()
    np.testing.assert_array_equal(actual, np.floor(given))
    np.testing.assert_array_equal(np.signbit(actual), np.signbit(np.floor(given)))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", ["f32", "f64"])
@pytest.mark.parametrize("result", ["i32", "i64"])
def test_casts_saturate(target: str, source: str, result: str) -> None:
    info = np.iinfo({"i32": np.int32, "i64": np.int64}[result])
    x = [0.0, -0.9, 0.9, 1.5, -1.5, 100.0, -100.0, 2.0**31, -(2.0**31), 2.0**40, 2.0**63, -(2.0**63), 1e30, -1e30]
    x += [np.inf, -np.inf, np.nan, 2.0**31 - 128, 2.0**62]
    given = np.array(x, {"f32": np.float32, "f64": np.float64}[source])
    expected = [
        0 if np.isnan(v) else info.max if v >= float(info.max) else info.min if v <= float(info.min) else int(v)
        for v in given.astype(np.float64)
    ]
    loops = scheduled(pointwise(f"{result}(x[j])", source, result), target)
    (actual,) = run_native(loops, {"x": given}, {"N": len(x)}, target).values()
    assert actual.tolist() == expected


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "i64", "bool"])
def test_tails_touch_nothing_else(target: str, dtype: str) -> None:
    """Every size around that of a vector; what lies behind the arrays stays as it is."""
    numpy = np.dtype({"f32": "f4", "f64": "f8", "i32": "i4", "i64": "i8", "bool": "?"}[dtype])
    expression = "logical_not(x[j])" if dtype == "bool" else "neg(x[j])"
    procedure = parse(f"""
def f(N):
    x = input({dtype}, [N])
    y = output({dtype}, [2, N])
    for j in parallel(0, N):
        y[0, j] = {expression}
""")
    loops = scheduled(procedure, target)
    rng = np.random.default_rng(0)
    for size in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65]:
        x = rng.integers(0, 2, size).astype(numpy)
        (y,) = run_native(loops, {"x": x}, {"N": size}, target, level=1).values()
        np.testing.assert_array_equal(y[0], np.logical_not(x) if dtype == "bool" else -x)
        np.testing.assert_array_equal(y[1], np.full(size, 255, np.uint8).astype(numpy))


@pytest.mark.parametrize("target", TARGETS)
def test_bools_in_vectors_and_memory(target: str) -> None:
    procedure = parse("""
def f(N):
    x = input(f32, [N])
    m = input(bool, [N])
    a = temporary(bool, [N])
    y = output(bool, [N])
    z = output(i64, [N])
    w = output(f32, [N])
    for j in parallel(0, N):
        a[j] = logical_or(x[j] < 0.5, logical_and(m[j], x[j] != x[j]))
    for j in parallel(0, N):
        y[j] = logical_not(a[j])
    for j in parallel(0, N):
        z[j] = where(a[j], i64(m[j]), -7)
    for j in parallel(0, N):
        w[j] = f32(a[j])
""")
    loops = scheduled(procedure, target)
    x = np.linspace(-1, 1, 37, dtype=np.float32)
    x[5] = np.nan
    m = np.arange(37) % 3 == 0
    results = run_native(loops, {"x": x, "m": m}, {"N": 37}, target)
    a = (x < 0.5) | (m & np.isnan(x))
    np.testing.assert_array_equal(results["y"], ~a)
    np.testing.assert_array_equal(results["z"], np.where(a, m.astype(np.int64), -7))
    np.testing.assert_array_equal(results["w"], a.astype(np.float32))
    assert results["y"].view(np.uint8).max() <= 1


# ------------------------------------------------------------------ checks

CHECKED = """
def f(B, T):
    ids = input(i64, [B, T])
    y = output(i64, [B, T])
    messages('{name} holds {value} at position {position}', 'never')
    for b in parallel(0, B):
        for j in parallel(0, T):
            check(logical_and(0 <= ids[b, j], ids[b, j] < 7), 0, ids[b, j])
    for b in parallel(0, B):
        for j in parallel(0, T):
            y[b, j] = ids[b, j] + 1
"""


def test_a_check_reports_the_first_offender() -> None:
    loops = scheduled(parse(CHECKED), "host")
    ids = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(run_native(loops, {"ids": ids}, {"B": 2, "T": 3})["y"], ids + 1)
    for place, value in [((1, 0), 7), ((0, 2), -1), ((1, 2), -(2**63)), ((0, 0), 2**63 - 1)]:
        wrong = ids.copy()
        wrong[place] = value
        with pytest.raises(NativeCheckFailed) as failed:
            run_native(loops, {"ids": wrong}, {"B": 2, "T": 3})
        assert failed.value.args == ("{name} holds {value} at position {position}", "ids", value, place)


# ------------------------------------------------------------------ the text


def test_slots_are_one_pointer() -> None:
    """Buffers that share memory are not passed as pointers without aliases."""
    procedure = parse("""
def f(N):
    x = input(f32, [N])
    a = temporary(f32, [N], slot=0)
    b = temporary(f32, [N], slot=1)
    c = temporary(f64, [N], slot=0)
    y = output(f64, [N])
    for j in parallel(0, N):
        a[j] = x[j] + 1.0
    for j in parallel(0, N):
        b[j] = a[j] * a[j]
    for j in parallel(0, N):
        c[j] = f64(b[j])
    for j in parallel(0, N):
        y[j] = c[j] * c[j]
""")
    emitted = emit(procedure, Target.parse("host"))
    assert emitted.pointers == ("x", 0, 1, "y")
    (header,) = re.findall(r"define internal .*", emitted.text)
    assert header.count("noalias") == 5  # and the status
    x = np.arange(9, dtype=np.float32)
    np.testing.assert_array_equal(run_native(procedure, {"x": x}, {"N": 9})["y"], (x + 1.0) ** 4)


def test_unused_buffers_have_no_pointer() -> None:
    procedure = parse("""
def f(N):
    unused = input(f32, [N])
    x = input(f32, [N])
    y = output(f32, [N])
    for j in parallel(0, N):
        y[j] = x[j]
""")
    assert emit(procedure, Target.parse("host")).pointers == ("x", "y")


ENDS = """
def f(N):
    x = input(f32, [N, 8])
    y = output(f32, [N, 8])
    z = output(f32, [N, 8])
    held = stack(f32, [4, 8])
    end = N // 4 * 4
    for r in parallel(0, end, 4):
        held[0, span(0, 8)] = x[r, span(0, 8)]
        held[1, span(0, 8)] = x[r + 1, span(0, 8)]
        held[2, span(0, 8)] = x[r + 2, span(0, 8)]
        held[3, span(0, 8)] = x[r + 3, span(0, 8)]
        for m in parallel(0, 4):
            a = held[m, span(0, 8)] * 2.0
            y[r + m, span(0, 8)] = a + f32(N)
        between = r + 1
        for m in parallel(0, 4):
            z[r + m, span(0, 8)] = held[m, span(0, 8)] + 1.0
    for r_2 in parallel(end, N):
        held[0, span(0, 8)] = x[r_2, span(0, 8)]
        for m in parallel(0, 1):
            b = held[m, span(0, 8)] * 2.0
            y[r_2 + m, span(0, 8)] = b + f32(N)
        between_2 = r_2 + 1
        for m in parallel(0, 1):
            z[r_2 + m, span(0, 8)] = held[m, span(0, 8)] - 1.0
"""


def test_ends_of_tiles_that_do_the_same_are_one_function() -> None:
    """Names and counts may differ, nothing else; and every loop has the label that it would have without functions."""
    procedure = parse(ENDS)
    text = emit(procedure, Target.parse("host")).text
    calls = re.findall(r'call void @"(rnncc\.f\.end\.\d)"\(i64 (\d)', text)
    assert calls == [("rnncc.f.end.1", "4"), ("rnncc.f.end.2", "4"), ("rnncc.f.end.1", "1"), ("rnncc.f.end.3", "1")]
    assert len(re.findall(r'define internal void @"rnncc\.f\.end', text)) == 3
    assert [label in text for label in ("m.parallel:", "m.parallel.2:", "m.parallel.3:", "m.parallel.4:")] == [
        True,
        True,
        False,
        True,
    ]
    x = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    sign = np.array([1, 1, 1, 1, -1, -1, -1], np.float32)[:, None]
    for outputs in (run_native(procedure, {"x": x}, {"N": 7}), interpret(procedure, {"x": x}, {"N": 7})):
        np.testing.assert_array_equal(outputs["y"], x * 2 + 7)
        np.testing.assert_array_equal(outputs["z"], x + sign)


def test_ends_that_follow_one_another_are_one_function() -> None:
    text = re.sub(" +between.*\n", "", ENDS)
    procedure = parse(text.replace("- 1.0", "+ 1.0"))
    emitted = emit(procedure, Target.parse("host")).text
    calls = re.findall(r'call void @"(rnncc\.f\.end\.\d)"\(i64 (\d)', emitted)
    assert calls == [("rnncc.f.end.1", "4"), ("rnncc.f.end.1", "1")]
    x = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    outputs = run_native(procedure, {"x": x}, {"N": 7})
    np.testing.assert_array_equal(outputs["y"], x * 2 + 7)
    np.testing.assert_array_equal(outputs["z"], x + 1)


STAGES = """
def f(count, given_0):
    x = input(f32, [count, given_0, 8])
    y = output(f32, [count, given_0, 8])
    held = stack(f32, [2, 8])
    held_2 = stack(f32, [2, 8])
    for r in parallel(0, count * given_0 // 2 * 2, 2):
        for m in range(0, 2):
            a = (r + m) % given_0
            b = (r + m) // given_0
            held[m, span(0, 8)] = x[b, a, span(0, 8)] * 2.0
        for m in range(0, 2):
            a = (r + m) % given_0
            b = (r + m) // given_0
            y[b, a, span(0, 8)] = held[m, span(0, 8)] + f32(count)
"""


def test_stages_may_bind_the_same_names_and_extents_may_have_any() -> None:
    """A stage that only writes the stack is one, too."""
    procedure = parse(STAGES)
    text = emit(procedure, Target.parse("host")).text
    assert len(re.findall(r'call void @"rnncc\.f\.end\.1"\(', text)) == 1
    x = np.random.default_rng(0).normal(size=(4, 3, 8)).astype(np.float32)
    outputs = run_native(procedure, {"x": x}, {"count": 4, "given_0": 3})
    np.testing.assert_array_equal(outputs["y"], x * 2 + 4)


def test_loops_give_their_names_to_blocks() -> None:
    text = emit(parse(CHECKED), Target.parse("host")).text
    for label in ["b.parallel:", "j.parallel:", "b.parallel.2:", "j.parallel.2:", "check.failed:", "check.passed:"]:
        assert f"\n{label}" in text


@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64-v4"])
def test_inner_loops_start_with_a_line_of_code(target: str) -> None:
    """How fast a short loop is depends on where its code starts; LLVM puts it at a multiple of 16."""
    assembly = compile_module(emit(parse(CHECKED), Target.parse(target)).text, Target.parse(target)).assembly
    starts = re.findall(r"\.p2align\t(\d+).*\n(?:\s*#.*\n)*\.LBB\S+\s+# %(\w+)\.parallel", assembly)
    assert sorted(name for power, name in starts if power == "6") == ["j", "j"]


def test_ascii_names() -> None:
    assert ascii_name("x_2") == "x_2"
    assert ascii_name("größe") == "gr.f6..df.e"
    assert len({ascii_name(name) for name in ("ä", "ö", "e4", "a", "ää")}) == 5


@pytest.mark.parametrize("name", KNOWN_TARGETS)
def test_code_for_machines_that_are_not_here(name: str) -> None:
    """Everything that is emitted is something that LLVM can compile for the target."""
    target = Target.parse(name)
    native = compile_module(emit(scheduled(parse(CHECKED), name), target).text, target, 1)
    assert native.object_code
