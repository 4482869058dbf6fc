"""What is kept out of garbage collections for a moment is not kept for ever."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from p06.memory import only_new_garbage

# In a process of its own: a small one looks at everything in milliseconds.
BLOCKS = """
import gc, weakref
from p06.memory import only_new_garbage

class Left:
    def __init__(self):
        self.itself, self.weight = self, [[] for _ in range(2000)]

gc.collect()
held, left = len(gc.get_objects()), []
for _ in range(2 * held // 2000 + 4):
    with only_new_garbage():
        left.append(weakref.ref(Left()))
print(held, 2000 * sum(one() is not None for one in left))
"""


def test_what_one_block_after_another_leaves_is_collected_in_time() -> None:
    held, left = map(int, subprocess.check_output([sys.executable, "-c", BLOCKS], text=True).split())
    assert left < held / 2


def test_whatever_ends_a_block_ends_what_it_keeps() -> None:
    with pytest.raises(KeyError), only_new_garbage(), only_new_garbage():
        raise KeyError
    assert gc.get_freeze_count() == 0
