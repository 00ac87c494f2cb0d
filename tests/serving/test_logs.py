"""The log: whatever is said, by whomever, is one JSON object a line."""

from __future__ import annotations

import json
import logging

import pytest

from neonext_ascend.serving.logs import libraries_logged


def test_what_a_library_says_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.lastResort
    with libraries_logged():
        handler = logging.lastResort
        assert handler is not None
        try:
            raise ValueError("of\nwhich the words\nhave lines")
        except ValueError as error:
            record = ("asyncio", logging.ERROR, "", 0, "exception in %s\ncallback", ("a",), (type(error), error, None))
        handler.handle(logging.LogRecord(*record))
    assert logging.lastResort is before
    (line,) = capfd.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], told["by"]) == ("library", "error", "asyncio")
    assert told["words"] == "exception in a\ncallback"
    assert told["traceback"].endswith("have lines")


def test_a_call_whose_arguments_do_not_fit_is_a_line_and_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    with libraries_logged():
        handler = logging.lastResort
        assert handler is not None
        handler.handle(logging.LogRecord("other", logging.WARNING, "", 0, "%d rows", ("a",), None))
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["words"] == "%d rows"
