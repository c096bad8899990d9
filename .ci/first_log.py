"""Runs the acceptance of the first version's log with its report funnel asked as of the instant at which it was written down.

The funnel says for how many days open opportunities have waited, so it is another one a few hours later; the acceptance compares
it with what was printed on that day.
"""
import pathlib, sys

sys.path.insert(0, str(pathlib.Path("../shared/acceptance").resolve()))
import crm_sales, first_log

WRITTEN = "2026-11-30T15:30:00Z"
annal = crm_sales.annal


def at_that_time(binary, env, *args, **options):
    if args[:2] == ("report", "funnel"):
        args += ("--known-at", WRITTEN)
    return annal(binary, env, *args, **options)


crm_sales.annal = at_that_time
first_log.main()
