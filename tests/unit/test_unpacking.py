"""Compressed files: whole ones are read to the last byte, damaged ones and bombs are refused, in bounded memory."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from tests import pouring

from p06 import reading
from p06.manifest import StatedFile
from p06.reading import Reading

TEXT = b"".join(b"%d,%x,row\n" % (number, number * 2654435761 % 2**32) for number in range(40))
SKIPPED = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda text: gzip.compress(text, mtime=0),
    "zstd": lambda text: zstd.compress(text, options={zstd.CompressionParameter.checksum_flag: 1}),
}
KINDS = pytest.mark.parametrize("kind", sorted(PACK))


def unpack(folder: Path, kind: str, content: bytes) -> bytes | str:
    """What the file holds, or the code of the refusal."""
    path = folder / "file"
    path.write_bytes(content)
    one = Reading(StatedFile(1, "file", len(content), "", 1), path, kind)
    found = b"".join(one.blocks())
    assert one.size == len(content), "a refused file is hashed whole"
    return one.error.code if one.error else found


@KINDS
def test_members_are_read_one_after_the_other_empty_ones_too(tmp_path: Path, kind: str) -> None:
    pack = PACK[kind]
    content = pack(b"") + pack(TEXT[:100]) + pack(b"") + pack(TEXT[100:]) + pack(b"")
    assert unpack(tmp_path, kind, content) == TEXT
    assert unpack(tmp_path, kind, pack(b"")) == b""


@KINDS
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, kind: str) -> None:
    first, second = PACK[kind](TEXT[:200]), PACK[kind](TEXT[200:])
    whole = {len(first): TEXT[:200], len(first + second): TEXT}  # where a member ends; the checksum tells these
    for end in range(len(first + second) + 1):
        assert unpack(tmp_path, kind, (first + second)[:end]) == whole.get(end, "P06-LOAD-019"), end


@KINDS
def test_one_changed_byte_anywhere_is_refused_or_changes_nothing(tmp_path: Path, kind: str) -> None:
    content = PACK[kind](TEXT[:200]) + PACK[kind](TEXT[200:])
    refused = 0
    for at in range(len(content)):
        for change in (1, 0x80, 0xFF):
            found = unpack(tmp_path, kind, content[:at] + bytes([content[at] ^ change]) + content[at + 1 :])
            refused += found == "P06-LOAD-019"
            # A time, a flag or the name of a system may change in a gzip member; a zstd frame may become skippable.
            assert found in ("P06-LOAD-019", TEXT, TEXT[:200], TEXT[200:]), at
    assert refused > 2.5 * len(content)


@KINDS
@pytest.mark.parametrize(
    "garbage", [b"x", b"\n", b"1,2,3\n", b"\x1f", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\0\0x", b"PK\x03\x04"]
)
def test_what_follows_the_last_member_is_not_ignored(tmp_path: Path, kind: str, garbage: bytes) -> None:
    assert unpack(tmp_path, kind, PACK[kind](TEXT) + garbage) == "P06-LOAD-019"
    assert unpack(tmp_path, kind, garbage + PACK[kind](TEXT)) == "P06-LOAD-019"


def test_zeros_may_fill_up_a_gzip_file_and_no_zstd_file(tmp_path: Path) -> None:
    content = PACK["gzip"](TEXT[:9]) + bytes(5) + PACK["gzip"](TEXT[9:]) + bytes(600_000)
    assert unpack(tmp_path, "gzip", content) == TEXT
    assert unpack(tmp_path, "gzip", bytes(5) + content) == "P06-LOAD-019"
    assert unpack(tmp_path, "zstd", PACK["zstd"](TEXT) + bytes(5)) == "P06-LOAD-019"


def test_skippable_frames_hold_no_rows(tmp_path: Path) -> None:
    frames = SKIPPED + PACK["zstd"](TEXT[:100]) + SKIPPED + PACK["zstd"](TEXT[100:]) + SKIPPED
    assert unpack(tmp_path, "zstd", frames) == TEXT
    assert unpack(tmp_path, "zstd", SKIPPED) == b""
    assert unpack(tmp_path, "zstd", frames[:-1]) == "P06-LOAD-019"


@KINDS
def test_members_without_end_are_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MEMBER_LIMIT", 50)
    assert unpack(tmp_path, kind, PACK[kind](b"a") * 50) == b"a" * 50
    assert unpack(tmp_path, kind, PACK[kind](b"a") * 51) == "P06-LOAD-020"


def test_a_window_larger_than_128_mib_is_refused(tmp_path: Path) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 28})
    content = compressor.compress(b"1,2,3\n" * 1000) + compressor.flush()
    assert unpack(tmp_path, "zstd", content) == "P06-LOAD-019"


PROBE = """
import resource, sys, time
from pathlib import Path
from p06.manifest import StatedFile
from p06.reading import Reading
path, kind = Path(sys.argv[1]), sys.argv[2]
one = Reading(StatedFile(1, "bomb", path.stat().st_size, "", 1), path, kind)
before, start = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
size = sum(map(len, one.blocks()))
after = resource.getrusage(resource.RUSAGE_SELF)
print(one.error and one.error.code, size >> 20, after.ru_maxrss - before.ru_maxrss >> 10, time.process_time() - start)
"""


def _bomb(kind: str, shape: str) -> bytes:
    if kind == "gzip":
        member = gzip.compress(bytes(64 << 20), mtime=0)
        return member * 160 if shape == "many" else gzip.compress(bytes(512 << 20), mtime=0)
    member = zstd.compress(bytes(64 << 20))
    if shape == "many":
        return member * 1600  # 100 GiB in 3 MB
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    return b"".join(compressor.compress(bytes(16 << 20)) for _ in range(64)) + compressor.flush()


@KINDS
@pytest.mark.parametrize("shape", ["one", "many"])
def test_a_bomb_is_refused_soon_and_in_little_memory(tmp_path: Path, kind: str, shape: str) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(_bomb(kind, shape))
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(path), kind], capture_output=True, text=True, check=True, timeout=120
    )
    code, unpacked, memory, seconds = done.stdout.split()
    assert code == "P06-LOAD-020"
    assert int(unpacked) <= 512 << 10  # MiB
    assert int(memory) <= 160  # MiB: the window of a zstd frame and a few blocks
    assert float(seconds) < 10


@KINDS
def test_what_is_compressed_twice_is_unpacked_once(tmp_path: Path, kind: str) -> None:
    inner = PACK[kind](TEXT)
    assert unpack(tmp_path, kind, PACK[kind](inner)) == inner
    assert pouring.unpacked(PACK[kind](inner), kind) == inner
