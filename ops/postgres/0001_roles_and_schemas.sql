-- Roles, schemas, default deny.
-- The roles exist already: database.py creates them, since only it knows their passwords.
-- p06_owner cannot log in and owns what is shared; p06_admin is the one login that may act as it.

grant p06_loader, p06_builder, p06_publisher, p06_quality to p06_owner;
grant p06_owner to p06_admin;

revoke all on schema public from public;
do $$ begin
    execute format('revoke all on database %I from public', current_database());
    execute format(
        'grant connect on database %I to p06_admin, p06_loader, p06_builder, p06_publisher, p06_analyst, p06_quality, p06_steward, p06_identified',
        current_database()
    );
    execute format('grant temporary on database %I to p06_admin, p06_loader, p06_builder', current_database());
end $$;

create schema control authorization p06_owner;
create schema staging authorization p06_owner;
create schema quarantine authorization p06_owner;
create schema vault authorization p06_owner;
create schema build authorization p06_owner;
create schema marts authorization p06_owner;
create schema identified authorization p06_owner;
create schema quality authorization p06_owner;

grant usage on schema control to p06_loader, p06_builder, p06_publisher;
grant usage, create on schema staging, quarantine to p06_loader;
grant usage on schema staging to p06_builder, p06_publisher;
grant usage on schema vault to p06_loader;
grant usage, create on schema vault, build to p06_builder;
grant usage on schema build to p06_publisher;
grant usage on schema marts to p06_analyst, p06_quality, p06_steward, p06_identified, p06_builder, p06_publisher;
grant usage on schema identified to p06_identified;
grant usage on schema quality to p06_loader, p06_builder, p06_publisher, p06_quality;

-- What the loader and the builder create, the next step may read, and the owner, whose rights the mart views use.
alter default privileges for role p06_loader in schema staging grant select on tables to p06_builder, p06_publisher, p06_owner;
alter default privileges for role p06_loader in schema quarantine grant select on tables to p06_owner;
alter default privileges for role p06_builder in schema build grant select on tables to p06_publisher, p06_owner;
alter default privileges for role p06_builder in schema vault grant select on tables to p06_owner;
alter default privileges for role p06_owner in schema marts grant select on tables to p06_analyst, p06_quality, p06_steward, p06_identified, p06_builder, p06_publisher;
alter default privileges for role p06_owner in schema identified grant select on tables to p06_identified;
alter default privileges revoke execute on functions from public;
alter default privileges for role p06_owner revoke execute on functions from public;
