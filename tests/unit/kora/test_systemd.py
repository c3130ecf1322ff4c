"""What a service manager hears, over real sockets."""

import os
import socket
from contextlib import closing

import pytest

from kora.systemd import ServiceManager


class Heard:
    """A service manager's socket."""

    def __init__(self, address):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(30)

    def next(self):
        return self._socket.recv(4_096).decode().split("\n")

    def close(self):
        self._socket.close()


def test_it_hears_each_word_at_a_path(tmp_path):
    with closing(Heard(str(tmp_path / "notify"))) as heard:
        manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        manager.ready("started")
        manager.status("all\nis\0well" + "!" * 1_000)
        manager.beat()
        manager.stopping("draining")
        assert manager.listens
        assert heard.next() == ["READY=1", "STATUS=started"]
        (status,) = heard.next()
        assert (status.startswith("STATUS=all is"), len(status) < 600) == (True, True)
        assert heard.next() == ["WATCHDOG=1"]
        assert heard.next() == ["STOPPING=1", "STATUS=draining"]


def test_it_hears_in_the_abstract_namespace():
    name = f"kora-notify-{os.getpid()}"
    with closing(Heard(f"\0{name}")) as heard:
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).beat()
        assert heard.next() == ["WATCHDOG=1"]


@pytest.mark.parametrize("named", ["", "@", "relative", "vsock:2:1"])
def test_where_there_is_no_socket_nobody_listens(named):
    manager = ServiceManager({"NOTIFY_SOCKET": named})
    manager.ready("started")
    assert not manager.listens


def test_a_socket_that_is_gone_is_no_fault_of_the_services(tmp_path):
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    manager.ready("started")
    manager.beat()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_a_beat_is_expected_only_from_the_process_that_is_meant(environ, seconds):
    assert ServiceManager(environ).watchdog_seconds == seconds
