-- The area list a register extract's codes were sent under: a correction under the same list touches only those whose
-- rows differ. Empty for extracts held before; they touch everyone they name.
set role p06_owner;

alter table vault.register_extract add column area_edition date;
comment on column vault.register_extract.area_edition is 'First day of the area list the codes were sent under; empty when not known.';
