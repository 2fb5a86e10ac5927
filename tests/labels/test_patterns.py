"""Globs over case names say the same as `fnmatch`, in their order."""

from __future__ import annotations

import glob
from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from hinterland.labels.patterns import Patterns

TEXT = st.text(alphabet="ab1_[]*?!\n.", max_size=5)


@given(st.lists(TEXT, unique=True, max_size=8), TEXT)
def test_the_same_patterns_match_as_one_by_one(patterns, name):
    patterns = [*patterns, glob.escape(name)]
    expected = [p for p in dict.fromkeys(patterns) if fnmatchcase(name, p)]
    assert Patterns(dict.fromkeys(patterns)).matching(name) == expected
