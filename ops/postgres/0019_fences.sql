-- Who may still need a build that is to be dropped, and whether a build is still its own run's to write.
set role p06_owner;

alter table control.build add column open_before text[];
comment on column control.build.open_before is
'Of a build being dropped: the transactions that were open when it was marked. Until they have ended one of them may read it in an older snapshot.';

-- Ends the caller's transaction when another run has given the build up; else the build stays its own until that ends.
create function control.fence(asked bigint)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    found_state text;
begin
    select b.state into found_state from control.build as b where b.build_id = asked for share;
    -- an approved build whose register state is written anew has passed its gate already
    if found_state not in ('running', 'built', 'passed') then
        raise exception 'the build was given up for dead' using errcode = 'object_not_in_prerequisite_state';
    end if;
end
$$;
comment on function control.fence is 'Raises when another run has given the build up; holds its row until the transaction ends.';
revoke all on function control.fence (bigint) from public;
grant execute on function control.fence (bigint) to p06_builder;
