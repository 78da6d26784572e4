"""Lines of text, in which a path is never broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilient_redis.cli.main import main
from resilient_redis.cli.wrapping import wrapped

_LONG = "a-folder-with-a-long-name/and-another-one/and yet another/the-configuration-of-a-service.toml"


def test_a_path_longer_than_a_line_stands_in_one_line() -> None:
    assert wrapped("in /a/very/long/path.toml:3 all is well", 12, "", "  ") == [
        "in",
        "  /a/very/long/path.toml:3",
        "  all is",
        "  well",
    ]


def test_a_known_path_is_not_broken_at_its_blanks() -> None:
    assert wrapped("my file.toml: ok", 8, path="my file.toml") == ["my file.toml:", "ok"]


def test_a_word_that_is_no_path_is_broken() -> None:
    assert wrapped("abcdefghij", 4, "  ", " ") == ["  ab", " cde", " fgh", " ij"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize(
    "content", ['policies = [{ type = "retyr" }]', "policies = []", "policies =", "[pool]\nmin_idle = 3"]
)
def test_check_config_shows_each_path_whole(
    width: int, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(tmp_path)
    file = Path(_LONG)
    file.parent.mkdir(parents=True)
    file.write_text(content)
    main(["check-config", _LONG, "--explain"])
    shown = capsys.readouterr().out
    assert shown.count(_LONG) == " ".join(shown.split()).count(_LONG) >= 2
    assert shown.replace(_LONG, "").count("a-folder") == 0
    assert all(len(line) <= width for line in shown.splitlines() if _LONG not in line)
