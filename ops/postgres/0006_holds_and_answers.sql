-- Failed builds are remembered; who judges what in quality.check_result; which month a register state reaches.
set role p06_owner;

-- a build that would fail again is left alone like a blocked one, until its inputs or its models change
alter table control.hold drop constraint hold_kind_check;
alter table control.hold add constraint hold_kind_check check (kind in ('rollback', 'blocked', 'rejected', 'failed'));
alter table control.hold add column model_hash text;
comment on column control.hold.model_hash is 'Of a failed build: hash of the models it was made with. Another hash, and the period is built again.';

-- the loader answers for extracts, the builder for marts; an answer once given is never changed
revoke insert on quality.check_result from p06_publisher;
alter table quality.check_result enable row level security;
alter table quality.check_result force row level security;
create policy read_by_whoever_may on quality.check_result for select using (true);
create policy extracts_by_the_loader on quality.check_result for insert to p06_loader
with check (source is not null and extract_id is not null and build_id is null);
create policy builds_by_the_builder on quality.check_result for insert to p06_builder
with check (mart is not null and build_id is not null and extract_id is null);

-- a reform or a card dated ahead may take effect in a month without a register extract of its own
alter table vault.register_state_extract drop constraint register_state_extract_part_check;
alter table vault.register_state_extract add constraint register_state_extract_part_check
check (part in ('rows', 'links', 'horizon'));
comment on column vault.register_state_extract.extract_key is 'Key of the register extract; of the part horizon: the last month the state reaches, as YYYYMM.';
