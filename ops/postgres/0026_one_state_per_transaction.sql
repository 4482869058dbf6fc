-- A reader's transaction reads one state from its first statement to its last (docs/adr/0030).

-- In read committed a statement of a transaction under way sees what was published a moment ago, while its plan may be of
-- before the partitions that hold it were made: that month was read as empty.
do $$
declare
    reader text;
begin
    foreach reader in array array['p06_analyst', 'p06_quality', 'p06_identified', 'p06_sensitive'] loop
        execute format('alter role %I set default_transaction_isolation = %L', reader, 'repeatable read');
    end loop;
end $$;

-- Going forward again to a release, the publisher asks whether the register state it wrote is still readable.
set role p06_owner;
grant select on vault.register_state_extract to p06_publisher;
