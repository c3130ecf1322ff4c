"""The parts that tests of PostgreSQL are made of, each seen to do what those tests rely on."""

import select
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.postgres import NEWEST, OLDEST, Server

PATIENCE_SECONDS = 30.0
ROOT = Path(__file__).resolve().parents[2]
STARTER = """
import sys
from tests.postgres import Server
server = Server()
server.start()
print(server.directory, *(process.pid for process in server.processes()), flush=True)
server.freeze()
print("frozen", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_a_crashed_server_comes_back_where_it_was_with_what_was_committed(version):
    with Server(version=version) as server:
        server.execute("CREATE TABLE kept (number int)")
        with closing(psycopg.connect(server.url())) as connection:
            connection.execute("INSERT INTO kept VALUES (1)")
            connection.commit()
            connection.execute("INSERT INTO kept VALUES (2)")
            port = server.port
            server.crash()

            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url())

        server.start()

        assert (server.port, server.execute("SELECT number FROM kept")) == (port, [(1,)])
        assert server.execute("SHOW server_version_num")[0][0].startswith(str(version))
        assert "database system was not properly shut down" in server.log


def test_a_frozen_server_keeps_its_connections_and_answers_when_it_is_thawed():
    with Server() as server, closing(psycopg.connect(server.url())) as connection:
        server.freeze()
        connection.pgconn.send_query(b"SELECT 1")

        assert select.select([connection], [], [], 0.1)[0] == []

        server.thaw()

        assert select.select([connection], [], [], PATIENCE_SECONDS)[0] == [connection]
        server.stop()

        assert "database system is shut down" in server.log


def test_nothing_of_a_server_not_even_a_frozen_one_outlives_the_process_that_started_it():
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with starter:
        directory, *pids = starter.stdout.readline().split()
        starter.stdout.readline()
        processes = [psutil.Process(int(pid)) for pid in pids]
        guard = processes[0].parent()
        starter.send_signal(signal.SIGKILL)

    _, alive = psutil.wait_procs([guard, *processes], PATIENCE_SECONDS)

    assert alive == []
    assert not Path(directory).exists()


def test_each_database_is_a_fresh_copy_of_its_template(postgres):
    template = postgres.database()
    postgres.execute("CREATE TABLE here (number int)", database=template)
    postgres.execute("INSERT INTO here VALUES (%s)", 7, database=template)

    copy = postgres.database(template)

    assert postgres.execute("SELECT number FROM here", database=copy) == [(7,)]
    with (
        psycopg.connect(postgres.url(copy)) as over_tcp,
        psycopg.connect(postgres.url(copy, over_socket=True)) as over_socket,
    ):
        assert over_tcp.info.host == "127.0.0.1"
        assert over_socket.info.dbname == copy
    postgres.drop(copy)
    postgres.drop(template)
