"""The real server on a real socket, over a stand-in for the runtime."""

from contextlib import ExitStack, closing

import pytest

from kora.admin.client import Client
from kora.admin.port import AdminSettings
from kora.admin.server import bind, serve
from tests.unit.kora.admin.stand_in import StandIn


@pytest.fixture
def console(tmp_path):
    with closing(StandIn(f"sqlite:///{tmp_path}/kora.db")) as console:
        yield console


@pytest.fixture
def state_dir(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def listening(state_dir):
    with closing(bind(state_dir)) as listening:
        yield listening


@pytest.fixture
def serving(listening, console):
    """Begins to serve, with these settings; what is served ends with the test."""
    with ExitStack() as stack:

        def begin(uid=None, **settings):
            served = serve(listening, console, AdminSettings(**settings), uid=uid)
            stack.callback(served.close)
            return served

        yield begin


@pytest.fixture
def served(serving):
    return serving()


@pytest.fixture
def address(served, listening):
    """Where it is served."""
    return listening.path


@pytest.fixture
def client(served, state_dir):
    return Client(state_dir)
