"""The six words of data quality, and the characteristics of ISO/IEC 25012 each of them stands for.

No official text defines the words measurably; the meanings here are the project's. docs/runbooks/checks.md shows the
same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Dimension = Literal["dung", "du", "sach", "song", "thong_nhat", "dung_chung"]


@dataclass(frozen=True)
class Meaning:
    """One word: how it is written, what it means here, and its characteristics in ISO/IEC 25012."""

    vi: str
    en: str
    meaning_vi: str
    meaning_en: str
    iso: tuple[str, ...]


DIMENSIONS: Mapping[Dimension, Meaning] = {
    "dung": Meaning(
        "đúng",
        "accurate",
        "khớp với sổ dân cư và các quy tắc",
        "agrees with the register and the rules",
        ("accuracy", "credibility", "precision"),
    ),
    "du": Meaning(
        "đủ",
        "complete",
        "có đủ đối tượng và trường bắt buộc",
        "every subject and mandatory field is there",
        ("completeness",),
    ),
    "sach": Meaning(
        "sạch",
        "clean",
        "không trùng, không nhiễu, không mâu thuẫn",
        "no duplicates, noise or contradictions",
        ("consistency", "compliance"),
    ),
    "song": Meaning(
        "sống",
        "live",
        "theo kịp sự kiện",
        "follows events quickly",
        ("currentness",),
    ),
    "thong_nhat": Meaning(
        "thống nhất",
        "unified",
        "một danh mục, một giá trị ở mọi nơi",
        "one code list and one value everywhere",
        ("consistency", "understandability", "compliance"),
    ),
    "dung_chung": Meaning(
        "dùng chung",
        "shared",
        "sẵn sàng, truy được nguồn, được phép chia sẻ",
        "available, traceable and permitted to be shared",
        ("accessibility", "availability", "traceability", "confidentiality", "portability"),
    ),
}
