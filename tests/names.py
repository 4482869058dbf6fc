"""Names that are one name written differently, and names that are not: what every normaliser must tell apart alike."""

from __future__ import annotations

import unicodedata

SAME = (
    # tone marks: the old placement and the modern one
    ("Hòa", "Hoà"), ("Hóa", "Hoá"), ("Hỏa", "Hoả"), ("Tõa", "Toã"), ("Tọa", "Toạ"),
    ("Khỏe", "Khoẻ"), ("Lòe", "Loè"), ("Lóe", "Loé"), ("Tõe", "Toẽ"), ("Họe", "Hoẹ"),
    ("Thùy", "Thuỳ"), ("Thúy", "Thuý"), ("Thủy", "Thuỷ"), ("Nhũy", "Nhuỹ"), ("Thụy", "Thuỵ"),
    ("Phạm Thị Thúy Hòa", "Phạm Thị Thuý Hoà"),
    # on qu the mark stands on y in both styles; some keyboards set it on u
    ("Quý", "Qúy"), ("Quỳ", "Qùy"), ("Quỷ", "Qủy"),
    # in a closed syllable, too, there is one right place in both styles
    ("Huỳnh", "Hùynh"), ("Toàn", "Tòan"), ("Hoàng", "Hòang"), ("Thoại", "Thọai"), ("Xoè", "Xòe"),
    # letter case
    ("Nguyễn Thị Hoà", "NGUYỄN THỊ HÒA"), ("Đặng", "đặng"), ("Ường", "ường"), ("THỦY", "Thuỷ"),
    # a font of TCVN3 that draws small letters as capitals
    ("NGUYỄN ĐỨC", "NGUYễN ĐứC"),
    # normal forms
    ("Nguyễn", "Nguye\u0302\u0303n"), ("Ngọ", "Ngo\u0323"), ("Tường", "Tu\u031bo\u031b\u0300ng"),
    ("Hòa", "Ho\u0300a"), ("Hòa", "Hoa\u0300"), ("HÒA", "HOA\u0300"), ("Thủy", "THUY\u0309"), ("Ạ", "A\u0323"), ("Ộ", "Ô\u0323"),
    # white space, of any kind and anywhere
    ("Lê Văn An", "  Lê  Văn\tAn "), ("Lê Văn An", "Lê\u00a0Văn\u202fAn"), ("Lê Văn An", "Lê\r\nVăn\u3000An\u2009"),
    ("Lê An", "Lê\u2028An\u0085"),
    # characters without width: a word joiner, a zero-width space, a byte-order mark, a soft hyphen, a direction mark
    ("Lê Văn An", "\ufeffLê Văn An\u200b"), ("Lê Văn An", "Lê \u200bVăn\u200d An"), ("Hoà", "Ho\u200bà"), ("Hoà", "Hòa\u2060"),
    ("Hoà", "Hoa\u200c\u0300"), ("Hoà", "H\u00adoà\u200e"), ("Lê An", "Lê\u00a0\u200b\u00a0An"),
)  # fmt: skip

DIFFERENT = (
    ("Hoà", "Hoa"), ("Hoà", "Hoá"), ("Hoả", "Hoã"), ("Thuý", "Thuỳ"), ("Đa", "Da"), ("Đà", "Dà"), ("Lan", "Lân"), ("Tư", "Tu"),
    ("Tường", "Tượng"), ("Ơn", "Ôn"), ("Quý", "Quy"), ("Mùa", "Múa"), ("Thủ", "Thư"), ("Hoàng", "Hoáng"), ("Lê An", "LêAn"),
    ("Văn", "Vân"), ("Của", "Cua"), ("Thuở", "Thủ"), ("K'Hà", "KHà"), ("Êban", "Eban"), ("Ma-Ly", "Ma Ly"), ("Hòa.", "Hòa"),
    ("Lê Thị Hoà", "Thị Lê Hoà"), ("Müller", "Muller"), ("Họa", "Hỏa"),
)  # fmt: skip

KEPT = (
    # What the normalised form must leave where it is: the mark stands there in both styles.
    ("Quý", "quý"), ("Hoàn", "hoàn"), ("Hoài", "hoài"), ("Uyên", "uyên"), ("Nguyễn", "nguyễn"), ("Mùa", "mùa"), ("Của", "của"),
    ("Thuỷ", "thuỷ"), ("Hoà", "hoà"), ("Khuya", "khuya"), ("Giỏi", "giỏi"), ("Gìn", "gìn"), ("Lúa", "lúa"), ("Đức", "đức"),
    ("Thuở", "thuở"), ("Ngoèo", "ngoèo"), ("Xoáy", "xoáy"), ("Bùi", "bùi"), ("K'Hà", "k'hà"), ("Y Ê Ban", "y ê ban"),
)  # fmt: skip


def variants(name: str) -> list[str]:
    """The name in both normal forms, three letter cases, and with white space of other kinds."""
    forms = [unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)]
    cased = [case(form) for form in forms for case in (str, str.upper, str.lower)]
    return [*cased, *(" \u00a0" + form.replace(" ", " \u200b\u3000") + "\ufeff " for form in cased)]
