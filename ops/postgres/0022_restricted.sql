-- Who reads the marts whose contract says `access: restricted`.

-- They read what analysts read, and besides it what marts.py grants to them alone.
do $$ begin
    execute format('grant connect on database %I to p06_sensitive', current_database());
    execute format('alter role p06_sensitive in database %I set statement_timeout = %L', current_database(), '10min');
end $$;

grant p06_analyst to p06_sensitive;
