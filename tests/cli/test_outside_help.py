"""What another package declares stands in the help of the command that takes it."""

from __future__ import annotations

import pytest

from outside import run_outside


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (
            "train",
            ("dimmed", "outside-loss", "outside-method", "outside-network", "outside-regulariser"),
        ),
        ("evaluate", ("hd_largest",)),
        ("export", ("note",)),
        ("predict", ("archive",)),
    ],
)
def test_help_names_what_is_installed(command, names):
    shown = " ".join(run_outside(command, "--help", COLUMNS="200").stdout.split())
    assert shown.count("Installed: ") >= 1
    assert not [name for name in names if name not in shown]
