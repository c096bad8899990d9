-- Safe to apply again: a vault is older than the count of its migrations.

-- The one row tells whether a master key is the right one; nothing follows from it about the key.
create table if not exists vault.master (
    one      boolean primary key default true check (one),
    verifier bytea not null check (length(verifier) = 32)
);

-- One key per data subject, sealed with the master key. An erased subject keeps its row, without the key: it never gets
-- another one.
create table if not exists vault.keys (
    organization uuid not null, -- zero: subjects outside of any organization, such as sources of sign-in attempts
    subject      uuid not null,
    wrapped      bytea,
    made_at      timestamptz not null default now(),
    erased_at    timestamptz,
    primary key (organization, subject),
    check ((wrapped is null) = (erased_at is not null))
);

create index if not exists keys_erased on vault.keys (erased_at) where erased_at is not null;

-- Password hashes, sealed with the master key. An event names the one it means.
create table if not exists vault.credentials (
    id      uuid primary key,
    account uuid not null,
    wrapped bytea not null,
    made_at timestamptz not null default now()
);
create index if not exists credentials_account on vault.credentials (account);
