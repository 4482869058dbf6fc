"""The ways of matching that need no weights: by number, by name and birth date, and the warehouse's own cascade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from p06.calibration.country import Nation
from p06.calibration.slip import Records
from p06.linkage.engine import engine
from p06.synth.chance import Ints, Mask

NOBODY, CONFLICT = -1, -2


@dataclass(frozen=True)
class Settled:
    """The root each record was matched to (or NOBODY, CONFLICT), and by which step."""

    root: Ints
    method: list[str | None]

    @property
    def open(self) -> Mask:
        """Records no step has decided."""
        return np.asarray(self.root == NOBODY, bool)


_NUMBER = """
select r.record, c.root, 'id' as method
from record as r
inner join citizen as c on c.citizen_id = r.citizen_id
"""
_NAME_AND_BIRTH = """
with
unique_citizens as (
    select name, birth_date, min(root) as root from citizen group by name, birth_date having count(*) = 1
)

select r.record, u.root, 'name_birth' as method
from record as r
inner join unique_citizens as u on u.name = r.name and u.birth_date = r.birth_date
"""
_CASCADE = """
with
numbers as (
    select citizen_id, root, 'id' as method from citizen
    union all
    select previous_id, root, 'previous_id' from previous
),

hits as (
    select
        r.record,
        n.root,
        n.method,
        (r.name = c.name)::int + (r.birth_date = c.birth_date)::int + (r.sex = c.sex)::int >= 2 as agrees
    from record as r
    inner join numbers as n on n.citizen_id = r.citizen_id
    inner join citizen as c on c.root = n.root
),

owners as (
    select old_id, min(root) as root from citizen where old_id is not null group by old_id having count(*) = 1
),

old_hits as (
    select
        r.record,
        o.root,
        'old_id' as method,
        (r.name = c.name)::int + (r.birth_date = c.birth_date)::int + (r.sex = c.sex)::int >= 2 as agrees
    from record as r
    inner join owners as o on o.old_id = r.old_id
    inner join citizen as c on c.root = o.root
    where r.record not in (select record from hits)
),

decided as (
    select * from hits
    union all
    select * from old_hits
),

open_records as (
    select * from record where record not in (select record from decided)
),

asked as (
    select name, birth_date, sex, commune
    from open_records
    group by name, birth_date, sex, commune
    having bool_and(citizen_id is null and old_id is null)
),

answered as (
    select a.name, a.birth_date, a.sex, a.commune, min(c.root) as root
    from asked as a
    inner join citizen as c
        on c.name = a.name
        and c.birth_date = a.birth_date
        and c.sex = a.sex
        and (a.commune is null or a.commune = c.commune)
    group by a.name, a.birth_date, a.sex, a.commune
    having count(*) = 1
)

select record, case when agrees then root else -2 end as root, case when agrees then method else 'conflict' end as method
from decided
union all
select o.record, a.root, 'name_birth'
from open_records as o
inner join answered as a
    on a.name = o.name
    and a.birth_date = o.birth_date
    and a.sex = o.sex
    and a.commune is not distinct from o.commune
"""
METHODS = {"id": _NUMBER, "name_birth": _NAME_AND_BIRTH, "cascade": _CASCADE}
"""Way of matching -> its SQL over record, citizen and previous (previous_id, root)."""


def settle(nation: Nation, register: pa.Table, records: Records, method: str) -> Settled:
    """Match the records in one of the ways of ``METHODS``."""
    at = np.flatnonzero(nation.present & (nation.previous_id > 0))
    previous = pa.table({"previous_id": nation.previous_id[at], "root": pa.array(at, pa.int64())})
    with engine() as connection:
        for name, table in (("record", records.table), ("citizen", register), ("previous", previous)):
            connection.register(name, table)
        found = connection.sql(METHODS[method]).to_arrow_table()
    root = np.full(len(records.person), NOBODY, np.int64)
    how: list[str | None] = [None] * len(root)
    for record, hit, step in zip(*(found[name].to_pylist() for name in ("record", "root", "method")), strict=True):
        root[record], how[record] = hit, step
    return Settled(root, how)
