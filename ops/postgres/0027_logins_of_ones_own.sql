-- A login of an office's own reads one state a transaction as ours do (docs/adr/0030): it has what the database says, for
-- a member does not inherit the settings of the role it is in. Whoever writes sees what it waited for, as before.
do $$
declare
    writer text;
begin
    foreach writer in array array['p06_admin', 'p06_loader', 'p06_builder', 'p06_publisher', 'p06_steward', session_user::text] loop
        execute format(
            'alter role %I in database %I set default_transaction_isolation = %L', writer, current_database(), 'read committed'
        );
    end loop;
    -- somebody else's database keeps its default: p06 doctor names the logins it concerns
    if (select pg_has_role(d.datdba, 'usage') from pg_database as d where d.datname = current_database()) then
        execute format('alter database %I set default_transaction_isolation = %L', current_database(), 'repeatable read');
    end if;
end $$;
