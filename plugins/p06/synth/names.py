"""Vietnamese names: family, middle and given name, by sex, generation and people, in NFC.

Frequencies of Kinh family names follow the published shares (Nguyễn about 38 %, Trần 11 %, Lê 10 %, Phạm 7 %).
A family name and a given name are one word each, so a full name splits into its three parts in one way only.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from p06.synth import text
from p06.synth.chance import Ints, weighted

_KINH = (
    "Nguyễn 384 Trần 110 Lê 95 Phạm 71 Hoàng 34 Huỳnh 17 Phan 45 Vũ 21 Võ 18 Đặng 21 Bùi 20 Đỗ 14 Hồ 13 Ngô 13 "
    "Dương 10 Lý 5 Đinh 8 Đoàn 7 Trương 9 Lương 6 Mai 6 Trịnh 6 Đào 6 Cao 5 Lâm 4 Hà 4 Tạ 3 Phùng 3 Châu 3 Tô 3 "
    "Chu 2 Thái 2 Vương 2 Quách 1 Kiều 1 Tăng 1 La 1 Nghiêm 1 Từ 1 Bạch 1 Lưu 3 Hứa 1 Lại 1 Tống 1 Khổng 1 Đàm 1 "
    "Thân 1 Cù 1 Mạc 1 Ông 1 Âu 1 Giáp 1 Doãn 1 Văn 2 Tôn 1 Kim 1 Triệu 1 Diệp 1 Viên 1 Ninh 1 Thạch 1"
)
_PEOPLES = {
    "02": "Nông 30 Hoàng 25 Lý 10 Ma 8 Triệu 6 Hà 6 Lương 6 Đàm 4 Bế 4 Nguyễn 12",
    "03": "Lò 35 Cà 12 Quàng 12 Lường 12 Vi 8 Hà 8 Tòng 6 Đèo 3 Cầm 4",
    "04": "Trần 15 Lâm 12 Lý 12 Trương 8 Huỳnh 8 Quách 6 Vương 6 Tăng 5 Dương 5",
    "05": "Thạch 30 Sơn 15 Kim 15 Danh 20 Lâm 10 Châu 8 Kiên 5",
    "06": "Bùi 45 Đinh 18 Quách 12 Hà 8 Nguyễn 12 Bạch 5",
    "07": "Nông 30 Hoàng 22 Vi 10 Lương 8 Lý 8 Hứa 6 Chu 6 Long 4",
    "08": "Giàng 25 Vàng 18 Sùng 14 Thào 12 Mùa 10 Lầu 8 Hạng 6 Cứ 3 Ly 5",
    "09": "Triệu 30 Bàn 25 Đặng 15 Phùng 10 Lý 8 Chảo 6 Tẩn 6",
    "12": "Niê 40 Mlô 20 Byă 10 Êban 10 Kbuôr 8 Ayŭn 6",
}
PEOPLES = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "12")
"""Ethnicity codes of the national list that the country uses."""
_PEOPLE_WEIGHTS = np.array([853, 19, 19, 8, 14, 15, 11, 14, 9, 4], float)

_MALE_MIDDLE = (
    "Văn 260 Đức 70 Hữu 60 Minh 60 Quang 55 Xuân 40 Đình 45 Thanh 45 Công 40 Quốc 45 Anh 20 Ngọc 45 Trọng 30 Duy 40 "
    "Hoàng 40 Gia 35 Tuấn 30 Bá 18 Thế 25 Mạnh 25 Viết 18 Huy 15 Hải 18 Tiến 25 Nhật 20 Bảo 20 Khắc 10 Sỹ 8 Phúc 12 "
    "Thành 20 Chí 15 Trung 20 Như 6 Phước 10 Hồng 12 Kim 8 Tấn 15 Vĩnh 8 Thiên 10 Nguyên 8 - 10"
)
_FEMALE_MIDDLE = (
    "Thị 420 Ngọc 60 Thanh 50 Thu 45 Kim 35 Hồng 35 Mỹ 25 Minh 25 Phương 30 Thùy 30 Bích 25 Quỳnh 20 Diệu 15 Bảo 20 "
    "Khánh 18 Hoài 15 Mai 15 Tuyết 12 Lan 12 Như 15 Tường 8 Ánh 12 Cẩm 12 Yến 10 Hà 12 Xuân 12 Hải 10 Thúy 14 "
    "Thị-Ngọc 18 Thị-Thu 18 Thị-Thanh 16 Thị-Kim 14 Thị-Hồng 12 Thị-Mỹ 10 Thị-Bích 8 Gia 8 An 6 Tú 5 - 6"
)
_MALE_GIVEN = (
    "Hùng Dũng Tuấn Thắng Minh Long Cường Sơn Hải Nam Thành Tùng Trung Hiếu Đức Quang Huy Phong Tâm Hòa Bình Toàn "
    "Vinh Quân Khánh Phúc Lâm Tú Anh Đạt Kiên Hưng Tiến Linh Lộc Thịnh An Bảo Khoa Khang Duy Nghĩa Trường Giang Vũ "
    "Công Chiến Dương Việt Hậu Nhân Quyết Sang Tài Thái Thiện Tín Trí Hoàng Hoàn Luân Mạnh Ninh Phương Quý Quốc "
    "Thuận Thủy Trọng Tường Văn Xuân Đông Định Khôi Nguyên Đăng Bách Thọ Hóa Ngọc Phước Hào Hoan Chung Chính Lợi "
    "Lực Nhật Páo Sình Dế Y Khiêm Thụy"
)
_FEMALE_GIVEN = (
    "Hương Lan Hoa Hằng Thảo Linh Trang Mai Hà Thủy Nga Yến Phương Ngọc Dung Hạnh Hiền Loan Oanh Tuyết Vân Anh Thu "
    "Huyền Nhung Quỳnh Nhi My Vy Thư Châu Trâm Trúc Ngân Như Hân Uyên Diễm Diệp Giang Hồng Hòa Huệ Kim Liên Lý Ly "
    "Minh Mỹ Nguyệt Nhàn Phượng Quyên Sen Tâm Thanh Thắm Thơ Thúy Thùy Tiên Trinh Tú Vui Xuân Yên Ánh Đào Bích Chi "
    "Cúc Duyên Hậu Hoài Hợp Khánh Lụa Mơ Na Nụ Thoa Thơm Thuận Xuyến Bình Chinh Đan Dương Hảo Hiệp Tuyến Thương "
    "Thảnh Khuê Hoàn"
)


def respell(name: str) -> str:
    """The other placement of tone marks on oa, oe, uy at a word's end (Hòa -> Hoà, Thủy -> Thuỷ)."""
    return _TONES.sub(lambda match: _OTHER[match[0]], name)


_OTHER = {
    marked + second: first + toned
    for first, second, marks, tones in (
        ("o", "a", "òóỏõọ", "àáảãạ"),
        ("o", "e", "òóỏõọ", "èéẻẽẹ"),
        ("u", "y", "ùúủũụ", "ỳýỷỹỵ"),
    )
    for marked, toned in zip(marks, tones, strict=True)
}
_TONES = re.compile(rf"(?:{'|'.join(_OTHER)})(?=\W|$)")


def _table(*lines: str) -> tuple[list[str], list[NDArray[np.float64]]]:
    """The union of "name weight" lists, and each list's weights over it."""
    pairs = [list(zip(line.split()[::2], map(float, line.split()[1::2]), strict=True)) for line in lines]
    names = list(dict.fromkeys(name for line in pairs for name, _ in line))
    return names, [np.array([dict(line).get(name, 0.0) for name in names]) for line in pairs]


_FAMILY, _FAMILY_WEIGHTS = _table(_KINH, *(_PEOPLES[code] for code in PEOPLES[1:]))
_MIDDLE_NAMES, (_MALE_MIDDLE_WEIGHTS, _FEMALE_MIDDLE_WEIGHTS, _MONG_MALE_MIDDLE_WEIGHTS) = _table(
    _MALE_MIDDLE, _FEMALE_MIDDLE, "A 1"
)
_MIDDLE = ["" if name == "-" else name.replace("-", " ") + " " for name in _MIDDLE_NAMES]
_GIVEN = list(dict.fromkeys([*_MALE_GIVEN.split(), *_FEMALE_GIVEN.split()]))
_PLACE = {name: at for at, name in enumerate(_GIVEN)}
_BORN_YOUNG = 1985


def _given_weights(names: list[str], young: bool) -> NDArray[np.float64]:
    """Zipf's shape; the older generation's favourites are other names than the younger's."""
    weights = np.zeros(len(_GIVEN))
    for rank, name in enumerate(names):
        weights[_PLACE[name]] = 1 / (4 + (rank * 7 % len(names) if young else rank))
    return weights


_GIVEN_WEIGHTS = {
    (sex, young): _given_weights(line.split(), young)
    for sex, line in ((0, _MALE_GIVEN), (1, _FEMALE_GIVEN))
    for young in (False, True)
}
_RESPELT_GIVEN = [respell(name) for name in _GIVEN]
_RESPELT_MIDDLE = [respell(name) for name in _MIDDLE]
_HAS_OTHER_GIVEN = np.array([a != b for a, b in zip(_GIVEN, _RESPELT_GIVEN, strict=True)])
GIVEN = len(_GIVEN)


@cache
def alike() -> tuple[tuple[int, ...], ...]:
    """For each given name the others that are the same without marks or begin with the same two letters."""
    bare = ["".join(c for c in unicodedata.normalize("NFD", name.lower()) if c.isalpha()) for name in _GIVEN]
    return tuple(
        tuple(other for other, form in enumerate(bare) if other != at and (form == own or form[:2] == own[:2]))
        for at, own in enumerate(bare)
    )


@dataclass
class Names:
    """Names as indices into the tables; ``key`` is equal exactly when the normalised names are."""

    family: Ints
    middle: Ints
    given: Ints
    respelt: NDArray[np.bool_]

    @property
    def key(self) -> Ints:
        """26 bits: family, middle, given."""
        return (self.family << 18) | (self.middle << 9) | self.given

    def at(self, index: Ints) -> Names:
        """The names of some people."""
        return Names(self.family[index], self.middle[index], self.given[index], self.respelt[index])

    def join(self, other: Names) -> Names:
        """These names, then the others."""
        return Names(
            np.concatenate([self.family, other.family]),
            np.concatenate([self.middle, other.middle]),
            np.concatenate([self.given, other.given]),
            np.concatenate([self.respelt, other.respelt]),
        )

    @property
    def two_spellings(self) -> NDArray[np.bool_]:
        """Whether the given name has two placements of its tone mark."""
        return _HAS_OTHER_GIVEN[self.given]

    def text(self) -> pa.Array:
        """Full names, NFC."""
        shift_given, shift_middle = self.respelt * len(_GIVEN), self.respelt * len(_MIDDLE)
        return text.glue(
            text.labels([name + " " for name in _FAMILY], self.family),
            text.labels(_MIDDLE + _RESPELT_MIDDLE, self.middle + shift_middle),
            text.labels(_GIVEN + _RESPELT_GIVEN, self.given + shift_given),
        )


def peoples(draw: np.random.Generator, size: int) -> Ints:
    """An index into ``PEOPLES`` for each person."""
    return weighted(draw, _PEOPLE_WEIGHTS, size)


def draw_names(
    draw: np.random.Generator, sex: Ints, birth_year: Ints, people: Ints, family: Ints | None = None
) -> Names:
    """Names for people of a sex (0 male, 1 female), birth year and people; a child's family name can be given."""
    size = len(sex)
    young = birth_year >= _BORN_YOUNG
    chosen = np.zeros(size, np.int64) if family is None else family.copy()
    if family is None:
        for code, weights in enumerate(_FAMILY_WEIGHTS):
            where = np.flatnonzero(people == code)
            chosen[where] = weighted(draw, weights, len(where))
    middle, given = np.zeros(size, np.int64), np.zeros(size, np.int64)
    mong = people == PEOPLES.index("08")
    no_thi = _FEMALE_MIDDLE_WEIGHTS.copy()
    no_thi[_MIDDLE_NAMES.index("Thị")] *= 0.35
    for where, weights in (
        ((sex == 0) & ~mong, _MALE_MIDDLE_WEIGHTS),
        ((sex == 0) & mong, _MONG_MALE_MIDDLE_WEIGHTS),
        ((sex == 1) & ~young, _FEMALE_MIDDLE_WEIGHTS),
        ((sex == 1) & young, no_thi),
    ):
        places = np.flatnonzero(where)
        middle[places] = weighted(draw, weights, len(places))
    for (wanted, recent), weights in _GIVEN_WEIGHTS.items():
        places = np.flatnonzero((sex == wanted) & (young == recent))
        given[places] = weighted(draw, weights, len(places))
    return Names(chosen, middle, given, draw.random(size) < 0.08)
