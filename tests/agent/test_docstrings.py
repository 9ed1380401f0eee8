"""Docstrings of three styles say the same to the model; without griffe the first paragraph does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from antiphon.agent.docstrings import Documentation, read

GOOGLE = """Tell the weather.

    In more words.

    Args:
        city: Where,
            in words.
        days (int): How many.
        **more: The rest.

    Returns:
        What it will be.

    Note:
        Not for the model.
    """
NUMPY = """
    Tell the weather.

    In more words.

    Parameters
    ----------
    city : str
        Where,
        in words.
    days : int, optional
        How many.
    **more
        The rest.

    Returns
    -------
    str
        What it will be.
    """
SPHINX = """Tell the weather.

    In more words.

    :param city: Where,
        in words.
    :param int days: How many.
    :param more: The rest.
    :returns: What it will be.
    :raises ValueError: At sea.
    """
PARAMETERS = {"city": "Where, in words.", "days": "How many.", "more": "The rest."}


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_three_styles_say_the_same(docstring: str) -> None:
    assert read(docstring) == Documentation("Tell the weather.\n\nIn more words.", PARAMETERS)


@pytest.mark.parametrize("docstring", [None, "", "   \n  "])
def test_nothing_says_nothing(docstring: str | None) -> None:
    assert read(docstring) == Documentation()


def test_text_without_sections_is_the_description() -> None:
    assert read("One.\n\n    Two: and\n    three.\n") == Documentation("One.\n\nTwo: and\nthree.")


@pytest.mark.parametrize(
    "docstring",
    ["\n    Args:\n        a: One.\n", ":param a: One.", "Parameters\n----------\na : int\n    One.\n"],
)
def test_a_description_may_be_missing(docstring: str) -> None:
    assert read(docstring) == Documentation("", {"a": "One."})


@pytest.mark.parametrize(
    "docstring", ["Say.\n\nReturns:\n    Words.", "Say.\n\n:returns: Words.", "Say.\n\nRaises:\n  X: y"]
)
def test_what_comes_out_is_not_for_the_model(docstring: str) -> None:
    assert read(docstring) == Documentation("Say.")


@pytest.mark.parametrize(
    "docstring", ["Say.\n\nArgs:\n", "Say.\n\nArgs:\n    broken", "Say.\n\nParameters\n----------\n"]
)
def test_a_broken_section_is_no_error(docstring: str) -> None:
    assert read(docstring).parameters == {}


def test_without_griffe_the_first_paragraph_is_the_description() -> None:
    program = """
import sys
sys.modules["griffe"] = None  # as if it were not installed
from antiphon.agent.docstrings import read
print(read("Tell the weather\\nof a city.\\n\\nMore.\\n\\nArgs:\\n    city: Where."))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "Documentation(description='Tell the weather\\nof a city.', parameters={})\n"


def test_griffe_is_not_imported_for_plain_docstrings() -> None:
    program = """
import sys
from antiphon.agent.tools import Toolbox, client_tool

@client_tool
def plain(a: int) -> int:
    "Without sections."
    return a

Toolbox([plain])
print("griffe" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "False\n"
