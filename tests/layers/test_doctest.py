"""The examples in the help of every public class run and print what they say; every argument is explained."""

from __future__ import annotations

import doctest
import inspect
import re

import numpy as np
import pytest

import rnncc
from rnncc import layers

PUBLIC = {
    name: item
    for name, item in {**vars(layers), "Model": rnncc.Model, "Sequential": rnncc.Sequential}.items()
    if inspect.isclass(item) and name != "InputSpec"
} | {"Input": layers.Input}


@pytest.mark.parametrize("name", PUBLIC)
def test_examples(name: str) -> None:
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(PUBLIC[name], name, globs={"rnncc": rnncc, "layers": layers, "np": np})
    assert test.examples, "the help shows an example"
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_is_explained_in_order(name: str) -> None:
    text = inspect.getdoc(PUBLIC[name]) or ""
    section = re.search(r"^Args:\n(.*?)(\n\n\S|\Z)", text, re.DOTALL | re.MULTILINE)
    assert section, "the help has a section Args"
    explained = re.findall(r"^ {4}(\w+): ", section[1], re.MULTILINE)
    assert explained == list(inspect.signature(PUBLIC[name]).parameters)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_source_is_named(name: str) -> None:
    """Keras's class, or a paper with its year."""
    text = inspect.getdoc(PUBLIC[name]) or ""
    assert re.search(r"Keras|\b(19|20)\d\d\b", text), name
