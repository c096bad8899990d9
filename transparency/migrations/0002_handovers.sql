-- makes: transparency.handovers

-- Keys may be replaced. The key of transparency.trees is the first one, for ever; each handover names the next.

create table transparency.handovers (
    log    uuid   not null,
    number bigint not null, -- from 1
    note   bytea  not null, -- the statement, signed by the new key and, if it was at hand, by the old one
    primary key (log, number)
);
create trigger kept before delete or truncate on transparency.handovers for each statement execute function transparency.refuse();
create trigger kept_row before update on transparency.handovers for each row execute function transparency.refuse();
