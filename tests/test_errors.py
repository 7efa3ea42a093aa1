"""Every error is ours and a builtin one, and shows its message as it was written."""

import inspect

import pytest
from threadmill import errors
from threadmill.errors import ThreadmillError, UnknownThread

ERRORS = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, ThreadmillError) and error is not ThreadmillError
]


def test_there_are_errors():
    assert len(ERRORS) > 10


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_ours_and_a_builtin_with_a_meaning(error: type[ThreadmillError]):
    builtin = next(kind for kind in error.__mro__ if kind.__module__ == "builtins")
    assert builtin not in (Exception, BaseException)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_says_when_it_is_raised_and_shows_its_message(error: type[ThreadmillError]):
    assert inspect.getdoc(error) != inspect.getdoc(ThreadmillError)
    assert str(error("no thread 'x7'; try again")) == "no thread 'x7'; try again"


def test_a_key_error_of_ours_is_not_shown_as_a_repr():
    with pytest.raises(KeyError) as caught:
        raise UnknownThread("thread 'x7' has no checkpoints")
    assert f"error: {caught.value}" == "error: thread 'x7' has no checkpoints"


def test_an_error_without_a_message_is_empty():
    assert str(UnknownThread()) == ""
