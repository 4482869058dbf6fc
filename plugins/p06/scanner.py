"""Finds the records of a delimited file, and cuts out what cannot be trusted before anything parses it.

A physical line ends with LF, CRLF or CR. A record is one line, or several when a quoted field holds line breaks. A
quote opens at the start of a field; it is closed when the next undoubled quote is followed by the delimiter, a line
end or the end of the file, the record then has the expected width, and no later physical line inside it has that width
alone. Otherwise the opening line alone is unsound and scanning resumes on the next one, so that a lost quote never
swallows the rows after it (design/interfaces.md, Row rules).

Blocks of bytes go in, ``Chunk``s come out. Lines are judged by numpy on whole blocks; only records that hold a
suspicious quote or a line break are walked one by one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from p06.errors import Refused
from p06.limits import limits
from p06.records import Ints, Unsound

LF, CR = 10, 13
RECORD_LIMIT = limits().line_bytes  # of one record, and of one physical line
_SMALL = 1 << 14  # the window at first and after a walk, doubled as long as nothing else is found
_SPARSE = 1 << 12  # bytes without a quote that are worth a window of their own
_BLANK_LINES = re.compile(rb"[\r\n]*")
_CALM = 16  # ordinary records in a row after which walking gives way to numpy again

WIDTH = "width"
QUOTE_STRAY = "quote_stray"
QUOTE_UNCLOSED = "quote_unclosed"
ESCAPE_STRAY = "escape_stray"
NUL = "nul_byte"
ENCODING = "encoding"


@dataclass(frozen=True)
class Dialect:
    """Delimiter and quote, one byte each; and what takes the next byte's meaning away, when the manifest says so.

    An escaped byte stands for itself, inside quotes and outside. A line end can be escaped inside quotes only.
    """

    delimiter: bytes = b","
    quote: bytes = b'"'
    escape: bytes = b""

    @cached_property
    def line_end(self) -> re.Pattern[bytes]:
        """What ends a physical line."""
        return re.compile(rb"\r\n|\n|\r")

    @cached_property
    def plain(self) -> re.Pattern[bytes]:
        """The rest of an unquoted field."""
        ordinary = rb"[^\r\n" + re.escape(self.delimiter + self.quote + self.escape) + rb"]"
        escaped = rb"|" + re.escape(self.escape) + rb"[^\r\n]" if self.escape else b""
        return re.compile(rb"(?:" + ordinary + escaped + rb")*")

    def unescaped(self, field: bytes) -> bytes:
        """What an unquoted field says."""
        return self._escaped.sub(rb"\1", field) if self.escape and self.escape in field else field

    def unquoted(self, field: bytes) -> bytes:
        """What the inside of a quoted field says."""
        if self.escape and self.escape in field:
            return self._escaped.sub(lambda match: match[1] or self.quote, field)
        return field.replace(self.quote * 2, self.quote)

    @cached_property
    def _escaped(self) -> re.Pattern[bytes]:
        """An escaped byte, or a doubled quote."""
        return re.compile(re.escape(self.escape) + rb"(.)|" + re.escape(self.quote * 2), re.DOTALL)

    @cached_property
    def field_alone(self) -> re.Pattern[bytes]:
        """A field in which a quote is just a character."""
        ordinary = rb"[^" + re.escape(self.delimiter + self.escape) + rb"]"
        escaped = rb"|" + re.escape(self.escape) + rb".?" if self.escape else b""
        return re.compile(rb"(?:" + ordinary + escaped + rb")*", re.DOTALL)

    def special(self, data: bytes, start: int, stop: int | None = None) -> int:
        """Where the next quote or escape stands; -1 when there is none."""
        if not self.escape:
            return data.find(self.quote, start, stop)
        found = [place for mark in (self.quote, self.escape) if (place := data.find(mark, start, stop)) >= 0]
        return min(found, default=-1)

    @cached_property
    def after_quote(self) -> frozenset[int]:
        """What may follow a closing quote."""
        return frozenset((self.delimiter[0], CR, LF))


@dataclass(frozen=True)
class Chunk:
    """The records of one block. Sound ones are ``data[starts[i]:ends[i]]``, without line ends, in file order."""

    data: bytes
    offset: int  # of data[0] in the file, decompressed
    starts: Ints
    ends: Ints
    lines: Ints  # physical line the record begins on, the file's first is 1
    records: Ints  # number of the record in its file, the first after the header is 1
    unsound: tuple[Unsound, ...]
    quoted: bool  # whether a sound record may hold a quote

    def __len__(self) -> int:
        return len(self.starts)

    def without(self, rows: Sequence[int]) -> Chunk:
        """The chunk with these sound records declared of wrong width."""
        keep = np.ones(len(self), np.bool_)
        keep[rows] = False
        wrong = [
            Unsound(
                int(self.lines[row]),
                int(self.records[row]),
                self.data[self.starts[row] : self.ends[row]],
                (WIDTH,),
            )
            for row in rows
        ]
        unsound = tuple(sorted((*self.unsound, *wrong), key=lambda one: one.line))
        parts = (self.starts[keep], self.ends[keep], self.lines[keep], self.records[keep])
        return Chunk(self.data, self.offset, *parts, unsound, self.quoted)

    def raws(self, rows: Iterable[int]) -> list[bytes]:
        """These sound records, as they stand in the file."""
        return [self.data[self.starts[row] : self.ends[row]] for row in rows]


@dataclass
class _Found:
    """What one block gave so far."""

    starts: list[Ints] = field(default_factory=list)
    ends: list[Ints] = field(default_factory=list)
    lines: list[Ints] = field(default_factory=list)
    records: list[Ints] = field(default_factory=list)
    unsound: list[Unsound] = field(default_factory=list)
    walked: list[tuple[int, int, int, int]] = field(default_factory=list)  # start, end, line, record
    quoted: bool = False

    def settle(self) -> None:
        """Put the records that were walked behind those numpy found."""
        if self.walked:
            columns = np.array(self.walked, np.int64).T
            for parts, column in zip((self.starts, self.ends, self.lines, self.records), columns, strict=True):
                parts.append(column)
            self.walked = []


@dataclass(frozen=True)
class _Walked:
    """One record walked byte by byte: where its content ends, where the next line begins, how many lines it has."""

    end: int
    next: int
    lines: int
    reasons: tuple[str, ...] = ()


class Scanner:
    """Scans one file after its header; feed it blocks in order."""

    def __init__(self, dialect: Dialect, width: int, line: int = 1, offset: int = 0, count_fields: bool = True) -> None:
        """``count_fields`` False leaves the width of lines without quotes to a parser that counts fields anyway, which
        must then pass what it finds to ``Chunk.without``."""
        self._dialect = dialect
        self._count_fields = count_fields
        self._width = width
        self._line = line
        self._record = 1
        self._offset = offset
        self._carry = b""

    @property
    def seen(self) -> int:
        """Records found so far, sound or not."""
        return self._record - 1

    def feed(self, block: bytes, last: bool) -> Chunk:
        """The records completed by this block. Raises Refused P06-LOAD-031 on a line or record beyond the limit."""
        data = self._carry + block if self._carry else block
        found = _Found()
        position = self._scan(data, last, found)
        found.settle()
        if len(data) - position > RECORD_LIMIT + 2 and not _has_line_end(data, position):
            raise Refused("P06-LOAD-031", line=self._line, limit=RECORD_LIMIT)
        self._carry = data[position:]
        offset, self._offset = self._offset, self._offset + position
        return self._checked(data, offset, position, found)

    def _scan(self, data: bytes, last: bool, found: _Found) -> int:
        """Move through the block as far as records are complete; returns where the rest begins."""
        array = np.frombuffer(data, np.uint8)
        size = len(data)
        position, window, calm = 0, _SMALL, _CALM
        quote = -1
        while position < size:
            if quote < position:
                quote = self._dialect.special(data, position)
                quote = size if quote < 0 else quote
            sparse = quote - position >= _SPARSE or quote == size
            stop = min(position + window, size)
            if sparse:  # the lines before the next quote at once
                stop = size if quote == size else _line_start(data, position, quote)
            due = calm < _CALM if not sparse else stop == position
            if not due:
                reached, due = self._window(data, array, position, stop, last and stop == size, found)
                if not due and reached == position and stop < size and not sparse:
                    window *= 2
                    continue
                due = due or reached == position
                position, window = reached, window * 2
            if due:
                walked = walk(data, position, self._dialect, self._width, last)
                if walked is None:
                    return position
                calm = 0 if walked.reasons or walked.lines > 1 else calm + 1
                self._take_walked(data, position, walked, found)
                position, window = walked.next, _SMALL
        return position

    def _take_walked(self, data: bytes, start: int, walked: _Walked, found: _Found) -> None:
        if walked.reasons:
            found.unsound.append(Unsound(self._line, self._record, data[start : walked.end], walked.reasons))
        else:
            found.quoted |= self._dialect.special(data, start, walked.end) >= 0
            found.walked.append((start, walked.end, self._line, self._record))
        self._line += walked.lines
        self._record += 1

    def _window(
        self, data: bytes, array: npt.NDArray[np.uint8], start: int, stop: int, final: bool, found: _Found
    ) -> tuple[int, bool]:
        """Judge the complete records of ``data[start:stop]`` at once; returns how far, and whether a walk is due there."""
        delimiter, quote = self._dialect.delimiter[0], self._dialect.quote
        view = array[start:stop]
        marks = view == LF
        returns = data.find(b"\r", start, stop) >= 0
        if returns:
            marks |= _lone_returns(view, final)
        ends_of_lines = marks
        quoted = data.find(quote, start, stop) >= 0
        troubles = np.empty(0, np.int64)
        if quoted:
            is_quote = view == quote[0]
            inside = np.logical_xor.accumulate(is_quote)
            troubles = _troubles(view, is_quote, inside, ends_of_lines, delimiter, quote[0], final)
            outside = ~inside
            places = np.flatnonzero(((view == delimiter) | ends_of_lines) & outside)
        elif self._count_fields:
            places = np.flatnonzero((view == delimiter) | ends_of_lines)
        else:
            places = np.flatnonzero(ends_of_lines)
        if self._dialect.escape and data.find(self._dialect.escape, start, stop) >= 0:
            escapes = np.flatnonzero(view == self._dialect.escape[0])
            troubles = np.sort(np.concatenate((troubles, escapes)))
        closing = np.flatnonzero(view[places] != delimiter)
        stops = places[closing]
        widths = np.diff(closing, prepend=-1)
        if final and (not len(stops) or stops[-1] + 1 < len(view)):  # the last line has no end
            widths = np.append(widths, len(places) - (closing[-1] + 1 if len(closing) else 0) + 1)
            stops = np.append(stops, len(view))
        count, due = len(stops), False
        if len(troubles):
            count = int(np.searchsorted(stops, troubles[0]))
            due = True
        stops, widths = stops[:count], widths[:count]
        if count:
            starts = np.concatenate(([0], stops[:-1] + 1))
            ends = stops.copy()
            if returns:
                before = view[np.maximum(stops - 1, 0)] == CR
                at_feed = view[np.minimum(stops, len(view) - 1)] == LF
                ends -= before & at_feed & (stops > starts) & (stops < len(view))
            counted = widths if quoted or self._count_fields else None
            self._take_lines(data, starts + start, ends + start, counted, found)
            found.quoted |= quoted and data.find(quote, start, start + int(stops[-1])) >= 0
            return min(start + int(stops[-1]) + 1, stop), due
        return start, due

    def _take_lines(self, data: bytes, starts: Ints, ends: Ints, widths: Ints | None, found: _Found) -> None:
        found.settle()
        line, record, count = self._line, self._record, len(starts)
        numbers = np.arange(count)
        wrong = starts == ends  # blank lines
        if widths is not None:
            wrong |= widths != self._width
        if wrong.any():
            for index in np.flatnonzero(wrong).tolist():
                raw = data[starts[index] : ends[index]]
                found.unsound.append(Unsound(line + index, record + index, raw, (WIDTH,)))
            good = ~wrong
            starts, ends, numbers = starts[good], ends[good], numbers[good]
        found.starts.append(starts)
        found.ends.append(ends)
        found.lines.append(line + numbers)
        found.records.append(record + numbers)
        self._line += count
        self._record += count

    def _checked(self, data: bytes, offset: int, stop: int, found: _Found) -> Chunk:
        """Take out the records that hold NUL bytes or bytes that are not UTF-8, and put the pieces together."""
        starts, ends, lines, records = map(_joined, (found.starts, found.ends, found.lines, found.records))
        flaws: dict[int, list[str]] = {}
        if data.find(b"\0", 0, stop) >= 0:
            for index in _holding_nul(data, stop, starts, ends):
                flaws.setdefault(index, []).append(NUL)
        if not is_utf8(data, stop):
            for index in _not_utf8(data, starts, ends):
                flaws.setdefault(index, []).append(ENCODING)
        unsound = [_with_flaws(one) for one in found.unsound]
        for line in [
            *lines[ends - starts > RECORD_LIMIT].tolist()[:1],
            *(o.line for o in unsound if len(o.raw) > RECORD_LIMIT),
        ]:
            raise Refused("P06-LOAD-031", line=line, limit=RECORD_LIMIT)
        if flaws:
            for index, reasons in flaws.items():
                raw = data[starts[index] : ends[index]]
                if not self._count_fields and len(split(raw, self._dialect)) != self._width:
                    reasons.insert(0, WIDTH)
                unsound.append(Unsound(int(lines[index]), int(records[index]), raw, tuple(reasons)))
            keep = np.ones(len(starts), np.bool_)
            keep[list(flaws)] = False
            starts, ends, lines, records = starts[keep], ends[keep], lines[keep], records[keep]
            unsound.sort(key=lambda one: one.line)
        return Chunk(data, offset, starts, ends, lines, records, tuple(unsound), found.quoted)


def _line_start(data: bytes, start: int, place: int) -> int:
    """Where the physical line of ``place`` begins, not before ``start``."""
    return max(data.rfind(b"\n", start, place), data.rfind(b"\r", start, place), start - 1) + 1


def _has_line_end(data: bytes, start: int) -> bool:
    return data.find(b"\n", start) >= 0 or data.find(b"\r", start) >= 0


def _lone_returns(view: npt.NDArray[np.uint8], final: bool) -> npt.NDArray[np.bool_]:
    """Carriage returns that end a line by themselves; one at the very end waits for the next byte."""
    returns: npt.NDArray[np.bool_] = view == CR
    returns[:-1] &= view[1:] != LF
    if not final:
        returns[-1] = False
    return returns


def _troubles(
    view: npt.NDArray[np.uint8],
    is_quote: npt.NDArray[np.bool_],
    inside: npt.NDArray[np.bool_],
    ends_of_lines: npt.NDArray[np.bool_],
    delimiter: int,
    quote: int,
    final: bool,
) -> Ints:
    """Where records need a walk: quotes out of place, line breaks inside quotes; sorted."""
    quotes = np.flatnonzero(is_quote)
    opening = inside[quotes]
    opens, closes = quotes[opening], quotes[~opening]
    before = view[np.maximum(opens - 1, 0)]
    stray = (opens > 0) & (before != delimiter) & (before != LF) & (before != CR) & (before != quote)
    after = view[np.minimum(closes + 1, len(view) - 1)]
    unclosed = (closes + 1 < len(view)) & (after != delimiter) & (after != LF) & (after != CR) & (after != quote)
    breaks = np.flatnonzero((ends_of_lines | (view == CR)) & inside)
    if final and inside[-1]:
        breaks = np.append(breaks, quotes[-1])
    return np.sort(np.concatenate((opens[stray], closes[unclosed], breaks)))


def walk(data: bytes, start: int, dialect: Dialect, width: int | None, last: bool) -> _Walked | None:
    """Judge the record at ``start`` byte by byte; None when its end lies in the next block.

    Without a width any width will do (a header).
    """
    size = len(data)
    line = dialect.line_end.search(data, start)
    if (line is None and not last) or (line is not None and _undecided(data, line, last)):
        return None
    first_end, first_next = (line.start(), line.end()) if line else (size, size)
    if dialect.special(data, start, first_end) < 0:  # most lines walked: those between two damaged ones
        fields = data.count(dialect.delimiter, start, first_end) + 1
        wrong = width is not None and (fields != width or (width == 1 and first_end == start))
        return _Walked(first_end, first_next, 1, (WIDTH,) if wrong else ())
    fields, position = 0, start
    while True:
        if data[position : position + 1] == dialect.quote:
            after = _close(data, position, dialect, last)
            if after is None:
                if last or size - start > RECORD_LIMIT or _holds_a_row(data, first_next, size, dialect, width, False):
                    return _Walked(first_end, first_next, 1, (QUOTE_UNCLOSED,))
                return None
            if after < size and data[after] not in dialect.after_quote:
                return _Walked(first_end, first_next, 1, (QUOTE_UNCLOSED,))
            position = after
        else:
            match = dialect.plain.match(data, position)
            position = match.end() if match else position
            stopped = data[position : position + 1]
            if stopped == dialect.quote:
                reason = QUOTE_STRAY if position < first_next else QUOTE_UNCLOSED
                return _Walked(first_end, first_next, 1, (reason,))
            if stopped and stopped == dialect.escape:
                if position + 1 == size and not last:
                    return None
                reason = ESCAPE_STRAY if position < first_next else QUOTE_UNCLOSED
                return _Walked(first_end, first_next, 1, (reason,))
        fields += 1
        if position < size and data[position] == dialect.delimiter[0]:
            position += 1
            continue
        break
    ending = dialect.line_end.match(data, position)
    if (ending is None and not last) or (ending is not None and _undecided(data, ending, last)):
        if size - start > RECORD_LIMIT or _holds_a_row(data, first_next, size, dialect, width, False):
            return _Walked(first_end, first_next, 1, (QUOTE_UNCLOSED,))
        return None
    next_line = ending.end() if ending else size
    if position <= first_end:
        wrong = width is not None and (fields != width or (width == 1 and position == start))
        return _Walked(position, next_line, 1, (WIDTH,) if wrong else ())
    if (width is not None and fields != width) or position - start > RECORD_LIMIT:
        return _Walked(first_end, first_next, 1, (QUOTE_UNCLOSED,))
    if _holds_a_row(data, first_next, position, dialect, width, True):
        return _Walked(first_end, first_next, 1, (QUOTE_UNCLOSED,))
    return _Walked(position, next_line, 1 + len(dialect.line_end.findall(data, start, position)))


def _undecided(data: bytes, line_end: re.Match[bytes], last: bool) -> bool:
    """Whether a carriage return stands at the end of the block, its line feed perhaps in the next."""
    return not last and line_end.end() == len(data) and line_end.group() == b"\r"


def _close(data: bytes, opening: int, dialect: Dialect, last: bool) -> int | None:
    """The position after the next undoubled quote; None when there is none yet."""
    size, position = len(data), opening + 1
    while True:
        found = dialect.special(data, position)
        if found < 0 or (found + 1 == size and not last):
            return None
        if data[found : found + 1] == dialect.quote and data[found + 1 : found + 2] != dialect.quote:
            return found + 1
        position = found + 2


def _holds_a_row(data: bytes, start: int, stop: int, dialect: Dialect, width: int | None, whole: bool) -> bool:
    """Whether a physical line in ``data[start:stop]`` has the width alone; the last one counts only when ``whole``."""
    if width is None or data.count(dialect.delimiter, start, stop) < width - 1:
        return False
    while start < stop or (whole and start == stop):
        if width > 1:  # a blank line has one field; half a million of them are asked again with each block
            start = _BLANK_LINES.match(data, start, stop).end()  # type: ignore[union-attr]
        line = dialect.line_end.search(data, start, stop)
        if line is None or _undecided(data, line, whole):
            return whole and alone(data[start:stop], dialect) == width
        if alone(data[start : line.start()], dialect) == width:
            return True
        start = line.end()
    return False


def alone(line: bytes, dialect: Dialect) -> int:
    """How many fields a physical line has when read by itself; a quote that does not close on it is just a character."""
    fields, position, size = 0, 0, len(line)
    while True:
        fields += 1
        if line[position : position + 1] == dialect.quote:
            after = _close(line, position, dialect, True)
            if after is not None and (after == size or line[after : after + 1] == dialect.delimiter):
                position = after
        match = dialect.field_alone.match(line, position) if dialect.escape else None
        found = match.end() if match else line.find(dialect.delimiter, position)
        if found < 0 or found >= size:
            return fields
        position = found + 1


def split(record: bytes, dialect: Dialect) -> list[bytes]:
    """The decoded (unquoted) fields of one sound record."""
    if dialect.special(record, 0) < 0:
        return record.split(dialect.delimiter)
    fields, position, size = [], 0, len(record)
    while True:
        if record[position : position + 1] == dialect.quote:
            after = _close(record, position, dialect, True) or size
            fields.append(dialect.unquoted(record[position + 1 : after - 1]))
        else:
            match = dialect.plain.match(record, position)
            after = match.end() if match else size
            fields.append(dialect.unescaped(record[position:after]))
        if after >= size:
            return fields
        position = after + 1


def _joined(parts: list[Ints]) -> Ints:
    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, np.int64)


def _with_flaws(one: Unsound) -> Unsound:
    reasons = list(one.reasons)
    if b"\0" in one.raw:
        reasons.append(NUL)
    if not _decodes(one.raw):
        reasons.append(ENCODING)
    return one if len(reasons) == len(one.reasons) else Unsound(one.line, one.record, one.raw, tuple(reasons))


def _decodes(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_utf8(data: bytes, stop: int) -> bool:
    """Whether the first ``stop`` bytes are UTF-8."""
    import pyarrow as pa

    if not stop:
        return True
    offsets = pa.py_buffer(np.array([0, stop], np.int64))
    text: Any = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _holding_nul(data: bytes, stop: int, starts: Ints, ends: Ints) -> list[int]:
    places = np.flatnonzero(np.frombuffer(data, np.uint8, stop) == 0)
    indexes = np.searchsorted(starts, places, "right") - 1
    held = (indexes >= 0) & (places < ends[np.maximum(indexes, 0)]) if len(starts) else np.zeros(len(places), np.bool_)
    return sorted(set(indexes[held].tolist()))


def _not_utf8(data: bytes, starts: Ints, ends: Ints) -> list[int]:
    """Indexes of the sound records that are not UTF-8."""
    found: list[int] = []
    view = memoryview(data)
    finishes = ends.tolist()
    index = 0
    while index < len(starts):
        begin = int(starts[index])
        try:
            str(view[begin : finishes[-1]], "utf-8")
            break
        except UnicodeDecodeError as error:
            index = bisect_left(finishes, begin + error.start + 1)
            if index < len(finishes) and int(starts[index]) <= begin + error.start:
                found.append(index)
                index += 1
    return found
