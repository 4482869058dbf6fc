-- Names in the form in which they are compared: what differs in writing alone, no one sees or hears as another name.
-- NFC; letter case; white space of every kind collapsed and trimmed; characters without width gone; tone marks on the
-- second vowel of oa, oe, uy (modern placement: hoà, khoẻ, thuỷ), in closed syllables too, where both styles have them
-- there and older keyboards did not (hùynh, tòan, qúy); đ is kept.
set role p06_owner;

create or replace function vault.normalise_name(name text) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog
return
    replace(replace(replace(replace(replace(
    replace(replace(replace(replace(replace(
    replace(replace(replace(replace(replace(
        -- a letter and its mark may have a character of their own in lower case alone (ǰ)
        normalize(
            lower(btrim(regexp_replace(
                normalize(
                    -- soft hyphen, joiners, zero-width spaces, direction marks, byte-order mark
                    regexp_replace(
                        name, '[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+', '', 'g'
                    ),
                    NFC
                ),
                '[\s\u001c-\u001f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g'
            )) collate pg_catalog.pg_c_utf8),
            NFC
        ),
    'òa', 'oà'), 'óa', 'oá'), 'ỏa', 'oả'), 'õa', 'oã'), 'ọa', 'oạ'),
    'òe', 'oè'), 'óe', 'oé'), 'ỏe', 'oẻ'), 'õe', 'oẽ'), 'ọe', 'oẹ'),
    'ùy', 'uỳ'), 'úy', 'uý'), 'ủy', 'uỷ'), 'ũy', 'uỹ'), 'ụy', 'uỵ');
