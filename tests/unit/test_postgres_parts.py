"""The parts that tests of PostgreSQL are made of, each seen to do what those tests rely on."""

import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.pq import ExecStatus

from tests.postgres import NEWEST, OLDEST, Server
from tests.proxies import DroppingProxy, PoolingProxy

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


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that these tests may crash and freeze."""
    with Server(version=NEWEST) as server:
        yield server


def test_a_crashed_server_comes_back_where_it_was_with_what_was_committed(server):
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
    assert "database system was not properly shut down" in server.log


def test_a_frozen_server_keeps_its_connections_and_answers_when_it_is_thawed(server):
    with closing(psycopg.connect(server.url())) as connection:
        server.freeze()
        connection.pgconn.send_query(b"SELECT 1")

        assert select.select([connection], [], [], 0.1)[0] == []

        server.thaw()

        assert select.select([connection], [], [], PATIENCE_SECONDS)[0] == [connection]


def test_a_stopped_server_has_written_everything_and_starts_again(server):
    server.stop()

    assert server.log.endswith("database system is shut down\n")
    server.start()

    assert server.execute("SELECT 1") == [(1,)]


def test_the_tests_run_on_the_oldest_server_at_hand(postgres, server):
    versions = [server.execute("SHOW server_version_num")[0][0][:2] for server in (postgres, server)]

    assert versions == [str(OLDEST), str(NEWEST)]


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


@pytest.fixture
def numbers(postgres, database) -> Callable[[], list[int]]:
    """What stands in a table of numbers."""
    postgres.execute("CREATE TABLE numbers (number int)", database=database)
    return lambda: [row[0] for row in postgres.execute("SELECT number FROM numbers ORDER BY 1", database=database)]


def connect(url: str, **options: object) -> closing[psycopg.Connection]:
    return closing(psycopg.connect(url, **options))


def insert(connection: psycopg.Connection, *, in_pipeline: bool) -> None:
    with connection.pipeline() if in_pipeline else nullcontext():
        connection.execute("INSERT INTO numbers VALUES (1)")
        connection.commit()


@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("loses", ["reply", "commit"])
def test_a_lost_reply_leaves_a_commit_and_a_lost_commit_leaves_none(postgres, database, numbers, loses, in_pipeline):
    with (
        DroppingProxy(postgres.port, probability=1.0, seed=1, loses=loses) as proxy,
        connect(proxy.url(database)) as connection,
    ):
        with pytest.raises(psycopg.OperationalError):
            insert(connection, in_pipeline=in_pipeline)

        assert connection.closed
        assert numbers() == ([1] if loses == "reply" else [])
        assert (proxy.commits, proxy.dropped) == (1, 1)


def test_as_many_commits_are_lost_as_the_clients_miss_and_the_seed_says_which(postgres, database, numbers):
    def missed() -> list[int]:
        found = []
        with DroppingProxy(postgres.port, probability=0.3, seed=7) as proxy:
            connection = psycopg.connect(proxy.url(database))
            for number in range(20):
                try:
                    connection.execute("INSERT INTO numbers VALUES (%s)", [number])
                    connection.commit()
                except psycopg.OperationalError:
                    found.append(number)
                    connection.close()
                    connection = psycopg.connect(proxy.url(database))
            connection.close()
            assert (proxy.dropped, proxy.commits) == (len(found), 20)
        return found

    assert 0 < len(first := missed()) < 20
    assert missed() == first
    assert numbers() == sorted([*range(20)] * 2)


@pytest.mark.parametrize("kind", ["dropping", "pooling"])
def test_what_is_large_and_what_is_many_comes_through_a_proxy_whole(postgres, database, numbers, kind):
    made = {
        "dropping": lambda: DroppingProxy(postgres.port, probability=0.0, seed=1),
        "pooling": lambda: PoolingProxy(postgres.port),
    }
    large = "x" * 3_000_000
    with made[kind]() as proxy, connect(proxy.url(database), autocommit=True, prepare_threshold=None) as connection:
        assert connection.execute("SELECT %s::text", [large]).fetchone() == (large,)

        with connection.cursor().copy("COPY numbers FROM STDIN") as copy:
            copy.write("".join(f"{number}\n" for number in range(10_000)))
        with connection.cursor().copy("COPY numbers TO STDOUT") as copy:
            assert sum(1 for _ in copy.rows()) == 10_000

        with connection.pipeline() as pipeline:
            cursors = []
            for number in range(300):
                cursors.append(connection.execute("SELECT %s::int", [number]))
                if number % 3 == 0:
                    pipeline.sync()
        assert [cursor.fetchone()[0] for cursor in cursors] == [*range(300)]

    assert numbers() == [*range(10_000)]


def backend(connection: psycopg.Connection) -> int:
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def test_a_pool_gives_every_transaction_one_of_a_few_connections(postgres, database):
    with (
        PoolingProxy(postgres.port, size=2) as proxy,
        connect(proxy.url(database)) as one,
        connect(proxy.url(database)) as two,
        connect(proxy.url(database), autocommit=True) as three,
    ):
        first, second = backend(one), backend(two)
        assert (backend(one), backend(two)) == (first, second)
        assert first != second

        three.pgconn.send_query(b"SELECT pg_backend_pid()")
        assert select.select([three], [], [], 0.1)[0] == []

        two.rollback()
        while three.pgconn.is_busy():
            assert select.select([three], [], [], PATIENCE_SECONDS)[0] == [three]
            three.pgconn.consume_input()
        assert three.pgconn.get_result().get_value(0, 0) == str(second).encode()
        assert three.pgconn.get_result() is None

        one.rollback()
        assert {backend(three) for _ in range(4)} == {first, second}


def test_nothing_of_a_session_holds_in_a_pool(postgres, database):
    with PoolingProxy(postgres.port) as proxy, connect(proxy.url(database), autocommit=True) as connection:
        connection.execute("SET work_mem = '77MB'")
        assert connection.execute("SHOW work_mem").fetchone() != ("77MB",)

        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            connection.execute("SELECT %s::int", [1], prepare=True)


def test_who_listens_through_a_pool_hears_nothing(postgres, database):
    heard = []
    with PoolingProxy(postgres.port, size=1) as proxy, connect(proxy.url(database), autocommit=True) as connection:
        connection.add_notify_handler(heard.append)
        connection.execute("LISTEN something")
        with connection.transaction():
            connection.execute("SELECT 1")
            # The server tells of it behind the COMMIT, before it is ready again.
            postgres.execute("NOTIFY something", database=database)

    assert heard == []


def test_a_pool_takes_a_connection_back_only_when_all_that_it_was_asked_is_answered(postgres, database):
    with (
        PoolingProxy(postgres.port, size=1) as proxy,
        connect(proxy.url(database)) as holder,
        connect(proxy.url(database)) as piper,
    ):
        holder.execute("SELECT 1")
        pipe = piper.pgconn
        pipe.enter_pipeline_mode()
        for number in range(3):
            pipe.send_query_params(b"SELECT $1::int", [str(number).encode()])
            pipe.pipeline_sync()
        # Only now the three are passed on, all at once.
        holder.commit()

        values, synced = [], 0
        while synced < 3:
            while pipe.is_busy():
                assert select.select([piper], [], [], PATIENCE_SECONDS)[0] == [piper]
                pipe.consume_input()
            match pipe.get_result():
                case None:
                    continue
                case result if result.status == ExecStatus.PIPELINE_SYNC:
                    synced += 1
                case result:
                    values.append(result.get_value(0, 0))

    assert values == [b"0", b"1", b"2"]


def test_a_pool_refuses_the_startup_parameters_that_it_could_not_keep(postgres, database):
    with (
        PoolingProxy(postgres.port) as proxy,
        pytest.raises(psycopg.OperationalError, match="unsupported startup parameter: options"),
    ):
        psycopg.connect(proxy.url(database), options="-c work_mem=77MB")


def test_what_a_client_of_a_pool_leaves_open_is_undone_and_the_pool_goes_on(postgres, database, numbers):
    with PoolingProxy(postgres.port, size=1) as proxy, connect(proxy.url(database), autocommit=True) as other:
        with connect(proxy.url(database)) as leaver:
            leaver.execute("INSERT INTO numbers VALUES (1)")
        assert backend(other)
        assert numbers() == []

        with connect(proxy.url(database)) as cut:
            postgres.execute("SELECT pg_terminate_backend(%s)", backend(cut))
            with pytest.raises(psycopg.OperationalError):
                cut.execute("SELECT 1")

        assert backend(other)


def test_a_pool_says_why_when_the_server_takes_no_connection(postgres):
    with (
        PoolingProxy(postgres.port) as proxy,
        pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'),
    ):
        psycopg.connect(proxy.url("nowhere"))
