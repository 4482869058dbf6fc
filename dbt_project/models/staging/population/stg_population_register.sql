-- one row per citizen number and register extract the vault does not hold yet; of a snapshot what changed since the one before
select
    sent.extract_key,
    sent.period,
    sent.{{ register_columns() | join(',\n    sent.') }}
from (
    {{ staged_register() }}
) as sent
