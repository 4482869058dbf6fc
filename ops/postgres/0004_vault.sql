-- Citizen numbers and their tokens. The key that makes a token never enters the database.
set role p06_owner;

create table vault.citizen_token (
    citizen_id bigint primary key,
    citizen_token uuid not null
);
comment on table vault.citizen_token is 'Every number named by a register extract, with its keyed HMAC-SHA256 token (first 128 bits).';
grant select, insert on vault.citizen_token to p06_loader;
grant select on vault.citizen_token to p06_builder;

-- Names are compared in this form: NFC, trimmed, white space collapsed, lower case, tone marks on the
-- second vowel of an open oa, oe, uy (modern placement: hoà, khoẻ, thuỷ); đ is kept.
create function vault.normalise_name(name text) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog
return
    replace(replace(replace(replace(replace(
    replace(replace(replace(replace(replace(
    replace(replace(replace(replace(replace(
        lower(btrim(regexp_replace(
            normalize(name, NFC),
            '[\s\u00a0\u1680\u2000-\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]+', ' ', 'g'
        )) collate pg_catalog.pg_c_utf8),
    'òa', 'oà'), 'óa', 'oá'), 'ỏa', 'oả'), 'õa', 'oã'), 'ọa', 'oạ'),
    'òe', 'oè'), 'óe', 'oé'), 'ỏe', 'oẻ'), 'õe', 'oẽ'), 'ọe', 'oẹ'),
    'ùy', 'uỳ'), 'úy', 'uý'), 'ủy', 'uỷ'), 'ũy', 'uỹ'), 'ụy', 'uỵ');
grant execute on function vault.normalise_name(text) to p06_builder, p06_loader;
