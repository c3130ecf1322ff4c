"""Fixtures for tests that run the real thing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.home import Home


@pytest.fixture
def home(tmp_path) -> Iterator[Home]:
    home = Home(tmp_path)
    home.configure()
    yield home
    home.end()
