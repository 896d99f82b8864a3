"""The one table of methods, against the types, the functions and the documents that name them."""

from pathlib import Path
from typing import get_args

from fewlabels.training.method_table import BY_NAME, BY_WORD, METHOD_TABLE, MethodName, MethodWord, describe_words
from fewlabels.training.methods import METHODS

REPRODUCING = Path(__file__).parent.parent.parent / "docs" / "reproducing.md"


def test_the_types_name_the_methods_of_the_table_in_its_order():
    assert get_args(MethodName) == tuple(BY_NAME)
    assert get_args(MethodWord) == tuple(BY_WORD)


def test_no_name_stands_for_two_methods_and_each_ends_a_list_of_phases():
    assert len(BY_NAME) == len(BY_WORD) == len(METHOD_TABLE)
    assert all(method.phases[-1] == method.name and set(method.phases) <= set(BY_NAME) for method in METHOD_TABLE)


def test_every_method_of_the_table_can_be_trained():
    assert set(METHODS) == set(BY_NAME)


def test_a_method_that_goes_on_from_another_is_listed_after_it():
    words = list(BY_WORD)
    for method in METHOD_TABLE:
        assert all(words.index(BY_NAME[name].word) <= words.index(method.word) for name in method.phases)


def test_the_help_of_the_command_line_and_the_documents_name_every_word():
    text = REPRODUCING.read_text(encoding="utf-8")
    for word, method in BY_WORD.items():
        assert word in describe_words()
        assert method.title in describe_words()
        assert f"`{word}`" in text
