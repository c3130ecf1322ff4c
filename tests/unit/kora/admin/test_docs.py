"""The page on the admin API names what there is, and nothing else."""

import re
from pathlib import Path

import pytest
from starlette.routing import compile_path

from kora.admin.paths_do import DONE
from kora.admin.paths_see import SEEN
from kora.admin.paths_stream import FOLLOWED

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "admin-api.md").read_text(encoding="utf-8")
CURLS = re.findall(r"^curl (.*)$", PAGE, re.MULTILINE)


def asked(line):
    """The method and the path of a line of curl's."""
    method = re.search(r"-X (\w+)", line)
    (path,) = re.findall(r"http://kora(/[^ '?]*)", line)
    return method[1] if method else "POST" if " -d " in line else "GET", path


@pytest.mark.parametrize("path", [*SEEN, *DONE, *FOLLOWED], ids=lambda path: f"{path.method} {path.template}")
def test_every_path_has_a_curl_line(path):
    pattern, _, _ = compile_path(path.template)

    assert any(method == path.method and pattern.match(target) for method, target in map(asked, CURLS))


@pytest.mark.parametrize("line", CURLS)
def test_every_curl_line_is_of_a_path_that_there_is(line):
    method, target = asked(line)

    assert target in {"/", "/stats"} or any(
        path.method == method and compile_path(path.template)[0].match(target) for path in (*SEEN, *DONE, *FOLLOWED)
    )
