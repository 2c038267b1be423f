"""Files that are reported as whole are whole, whatever is killed. With 200 runs:
python -m tests.lan.programs.drop_kills"""

from __future__ import annotations

import pytest

from tests import lab
from tests.lan.programs import drop_kills


@pytest.mark.parametrize("seed", [3, 8, 11])
def test_what_is_reported_as_whole_is_whole(lan: lab.MakeLan, seed: int) -> None:
    outcome = drop_kills.run(lan(4), seed)
    assert outcome.kills == 2


def test_all_that_went_wrong_is_told(lan: lab.MakeLan, monkeypatch: pytest.MonkeyPatch) -> None:
    def never_ends(process: lab.Process) -> int:
        raise lab.LabTimeout("still running")

    monkeypatch.setattr(drop_kills, "PATIENCE", 0.0)
    monkeypatch.setattr(lab.Process, "interrupt", never_ends)
    with pytest.raises(AssertionError, match="not whole\nstill running"):
        drop_kills.run(lan(4), 1)
