"""Where the socket is: found by both sides, and never in a place that somebody else prepared."""

import os
import socket
import stat
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from kora.admin import place
from kora.admin.server import bind
from kora.errors import AdminError, NoRuntimeError, StartError
from tests.unit.kora.admin.wire import connected


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def temporary(monkeypatch):
    # Short, whatever the tests' own directory is.
    with tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture
def long_dir(tmp_path):
    return tmp_path / ("d" * 100) / "state"


def short_folder(temporary):
    (folder,) = temporary.iterdir()
    return folder


def test_the_socket_stands_in_the_state_directory(tmp_path):
    state_dir = tmp_path / "state"

    with closing(bind(state_dir)) as listening:
        assert listening.path == place.find(state_dir) == state_dir / "admin.sock"
        assert (mode(state_dir), mode(listening.path)) == (0o700, 0o600)
        connected(listening.path).close()

    assert list(state_dir.iterdir()) == []


def test_the_pointer_is_for_its_user_alone_and_written_into_no_file_that_lay_in_its_way(long_dir, temporary, tmp_path):
    long_dir.mkdir(parents=True, mode=0o700)
    other = tmp_path / "other"
    other.write_text("as it was")
    (long_dir / "admin.new").symlink_to(other)

    with closing(bind(long_dir)):
        pointer = long_dir / "admin.path"
        assert (mode(pointer), pointer.is_symlink()) == (0o600, False)
        assert place.find(long_dir) == short_folder(temporary) / "admin.sock"

    assert other.read_text() == "as it was"


def test_the_umask_is_as_before(tmp_path):
    before = os.umask(0o027)
    try:
        bind(tmp_path / "state").close()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_a_state_directory_that_is_open_to_others_is_closed_to_them(tmp_path):
    tmp_path.chmod(0o755)

    bind(tmp_path).close()

    assert mode(tmp_path) == 0o700


def test_a_socket_of_a_dead_predecessor_is_replaced(tmp_path):
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(tmp_path / "admin.sock"))

    with closing(bind(tmp_path)) as listening:
        connected(listening.path).close()


def test_what_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "admin.sock").write_text("mine")

    with pytest.raises(StartError, match=r"admin\.sock: no socket.*Move it away"):
        bind(tmp_path)

    assert (tmp_path / "admin.sock").read_text() == "mine"


def test_a_state_directory_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StartError, match="file"):
        bind(tmp_path / "file" / "state")


def test_a_path_that_just_fits_is_used_as_it_is(tmp_path, temporary):
    room = 107 - len(os.fsencode(temporary)) - len("//admin.sock")

    with closing(bind(temporary / ("x" * room))) as listening:
        assert len(os.fsencode(listening.path)) == 107
        connected(listening.path).close()
    with closing(bind(temporary / ("x" * (room + 1)))) as listening:
        assert len(os.fsencode(listening.path)) < 107
        connected(listening.path).close()


def test_a_long_path_is_replaced_by_a_short_one(long_dir, temporary):
    with closing(bind(long_dir)) as listening:
        assert listening.path.parent == short_folder(temporary)
        assert (mode(listening.path.parent), mode(listening.path)) == (0o700, 0o600)
        assert place.find(long_dir) == listening.path
        connected(listening.path).close()

    assert (list(temporary.iterdir()), list(long_dir.iterdir())) == ([], [])


def test_a_client_finds_the_short_path_whatever_its_own_tmpdir_is(long_dir, temporary, monkeypatch, tmp_path):
    with closing(bind(long_dir)) as listening:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

        assert place.find(long_dir) == listening.path


def test_two_state_directories_have_two_short_paths(long_dir, temporary):
    with closing(bind(long_dir)) as one, closing(bind(long_dir.with_name("other"))) as other:
        assert one.path != other.path


def test_a_link_to_the_state_directory_leads_to_the_same_socket(long_dir, temporary, tmp_path):
    long_dir.mkdir(parents=True)
    (tmp_path / "link").symlink_to(long_dir)

    with closing(bind(long_dir)) as listening:
        assert place.find(tmp_path / "link") == listening.path


def test_where_no_runtime_ever_was_there_is_none(long_dir):
    with pytest.raises(NoRuntimeError, match="no runtime is running"):
        place.find(long_dir)


def spoil_mode(folder):
    folder.mkdir()
    folder.chmod(0o770)


def spoil_link(folder):
    folder.symlink_to(folder.parent)


def spoil_file(folder):
    folder.write_text("")


@pytest.mark.parametrize(
    ("spoil", "why"), [(spoil_mode, "others may enter"), (spoil_link, "link"), (spoil_file, "no directory")]
)
def test_a_folder_that_somebody_prepared_is_refused_by_both_sides(long_dir, temporary, spoil, why):
    with closing(bind(long_dir)) as listening:
        folder, pointer = listening.path.parent, (long_dir / "admin.path").read_bytes()
    spoil(folder)

    with pytest.raises(StartError, match=why) as refused:
        bind(long_dir)
    (long_dir / "admin.path").write_bytes(pointer)
    with pytest.raises(AdminError, match=why):
        place.find(long_dir)

    assert "Remove it" in str(refused.value)
    assert not folder.is_dir() or list(folder.glob("admin.sock")) == []


def test_a_folder_of_another_user_is_refused(long_dir, temporary, monkeypatch):
    with closing(bind(long_dir)) as listening:
        folder = listening.path.parent
    folder.mkdir(mode=0o700)
    real, uid = Path.lstat, os.geteuid()

    def lstat(path):
        found = real(path)
        return os.stat_result((*found[:4], uid + 1, *found[5:])) if path == folder else found

    monkeypatch.setattr(Path, "lstat", lstat)

    with pytest.raises(StartError, match=f"belongs to uid {uid + 1}"):
        bind(long_dir)


def test_without_room_anywhere_it_says_what_to_shorten(long_dir, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("t" * 90)))

    with pytest.raises(StartError, match="TMPDIR"):
        bind(long_dir)


@pytest.mark.parametrize("content", [b"", b"relative/admin.sock\n", b"/" + b"x" * 200, b"/a\0b"])
def test_a_pointer_that_holds_no_path_is_named(long_dir, content):
    long_dir.mkdir(parents=True)
    (long_dir / "admin.path").write_bytes(content)

    with pytest.raises(AdminError, match=r"admin\.path: holds no path"):
        place.find(long_dir)
