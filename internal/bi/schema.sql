-- What analysts' own tools read. The views are made by package bi.

create schema if not exists bi;
comment on schema bi is 'Annal for SQL and BI tools: views over the read models, personal fields masked, of your organization only. docs/analysts.md has examples.';

create schema if not exists bi_read;
comment on schema bi_read is 'What the views in bi read through.';

-- Which login sees the rows of which organization: annal sql grant.
create table if not exists bi.members (
    login        name        not null,
    organization uuid        not null,
    since        timestamptz not null default now(),
    by           text        not null,
    primary key (login, organization)
);

-- The views as they were made last.
create table if not exists bi.shown (
    name     text primary key,
    text     text   not null,
    models   text[] not null,
    versions int[]  not null
);
