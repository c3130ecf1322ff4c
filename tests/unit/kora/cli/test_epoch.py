"""The epoch on the command line."""

import io


def test_an_epoch_is_shown_and_raised(kora):
    first = kora("epoch", "show", "--json").document["epoch"]
    assert kora("epoch", "show").out == f"epoch {first}\n"

    done = kora("epoch", "bump", "--reason", "restored")

    assert done.code == 0
    told = f"epoch {first + 1}: every runtime that knew another one boots into PAUSED, until "
    assert done.out.startswith(told)
    assert done.out.endswith("kora-actors control reset\n")
    assert kora("epoch", "bump", "--reason", "again", "--json").document == {"epoch": first + 2}
    assert kora("repl", "-c", "epoch show").out == f"epoch {first + 2}\n"


def test_why_and_by_whom_is_on_record(kora, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ishmael")
    kora("epoch", "bump", "--reason", "restored the backup of Monday")

    (acted,) = (event["payload"] for event in kora("events", "--type", "kora.operator.acted", "--json").document)
    assert acted["who"] == "ishmael"
    assert "restored the backup of Monday" in str(acted)


def test_a_bump_without_a_reason_is_wrong_usage(kora):
    assert kora("epoch", "bump").code == 2
    assert kora("epoch", "bump", "--reason", " ").code == 2


def test_a_person_is_asked_first(kora, monkeypatch):
    class Person(io.StringIO):
        def isatty(self):
            return True

    before = kora("epoch", "show").out
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", Person("\n"))
    done = kora("epoch", "bump", "--reason", "r")

    assert (done.code, done.out) == (1, "")
    assert "will boot into PAUSED, until `control reset`. Go on? [y/N] " in done.err
    assert kora("epoch", "show").out == before
    assert kora("epoch", "bump", "--reason", "r", "--yes").code == 0
