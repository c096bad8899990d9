// Package engine folds the log into tables to read from, and keeps them up to date.
//
// A [ReadModel] is a fold: it declares [Table]s, says for each event which rows of them it needs (Keys), and changes
// those rows in Go, without SQL (Fold). The [Engine] brings pages of events to it, loads the rows of a page in one
// query per table, and writes what changed together with the model's checkpoint in one short transaction. That
// succeeds only if the checkpoint is where the page starts, so each event counts exactly once, whatever dies and
// however many processes fold.
//
// # Lease and fence
//
// One process folds a read model at a time (lease.go). The checkpoint's row in projections.checkpoints holds the
// lease: the holder, the time until which it holds by Postgres' clock, and an epoch that counts takeovers. A runner
// is in one of these states:
//
//	waiting   Another process holds the lease. The runner looks six times a lease whether it has run out.
//	holding   It has taken the lease, which counts the epoch up, and found its place. It folds page after page and
//	          renews the lease four times before it would run out.
//	stopped   It holds the lease and cannot go on: log, vault and checkpoint do not belong together. It says so in
//	          the checkpoint's row and looks every second whether they do now.
//	lost      A renewal finds another holder or epoch. The runner waits again.
//
// The fence is projections.move, the first statement of each page's transaction: it moves the checkpoint only with
// the epoch of the lease, the generation of the tables and the position that the runner knows. A runner that was
// paused and wakes up late writes nothing. If it was paused inside a transaction, it still has a lock on the row: the
// next runner waits for one lease's time more, then ends that connection by projections.end_holder.
//
// Commits of pages do not wait for the disk. A crash of Postgres may take the last ones back; then a renewal finds
// the checkpoint before where the runner has left it, and every runner starts over from what is there.
//
// # Rebuild and switch
//
// [Engine.Rebuild] folds the whole log again while the live tables serve (rebuild.go, build.go). Its steps:
//
//	locked       It takes an advisory lock in the name of the served schema. The lock ends with its connection.
//	folding      It fills tables in the schema <name>_v<version>_next, without keys or indexes, up to the head of
//	             the log.
//	indexing     It makes keys, indexes and statistics.
//	comparing    If asked, it compares its rows with the live ones of the same position.
//	catching up  It folds what has been appended since.
//	switching    In one transaction it locks the checkpoint, folds the last events, renames the live schema to
//	             _old and its own to the live name, moves the checkpoint and counts its generation up.
//	dropping     It drops the replaced tables when nobody reads them any more.
//
// Live folding goes on until the switch. Afterwards its runner finds another generation and starts over from the new
// tables. A rebuild that dies before the switch has changed nothing that is served; the next one drops what it has
// left.
//
// # Versions
//
// A read model never migrates. A new program folds the next version of a read model into tables of its own while the
// old program serves the previous version (versions.go). Each process records every 20 s which versions it reads.
// Tables of a previous version are dropped when the next one has begun to serve and no process has read them for
// [Config.KeepPrevious].
//
// # Parked events
//
// An event that a fold cannot take is parked, and so are all later events of its stream, which would be folded onto a
// state that is not theirs (parking.go). Everything else goes on. Parked events are rows of projections.parked,
// written in the transaction of their page:
//
//	with an error     It could not be folded. Only the first of a stream has one.
//	without an error  It waits behind another event of its stream.
//
// People mend the fold or the data and retry: the events of the stream are folded in their order up to the first that
// still cannot be (parked.go). Or they skip the first for good, in all versions (projections.skipped), and the rest
// is retried. An erasure waits behind nothing: it is folded at once.
//
// # Results
//
// A [Result] is a read model folded from a chosen part of the log for a while (result.go): as of an instant, for a
// report, for a list of the past. It is filled as a rebuild's tables are, into the schema result_<kind>_<random>, and
// never takes the place of the live tables. Its schema is a row of projections.result_tables with the time from which
// it may be dropped:
//
//	reserved  The row is there before the tables are: a process that dies leaves nothing that nobody knows of.
//	folding   A build holds the lock in the schema's name, and nobody drops it.
//	kept      Queries read it by [Result.DB], until its time comes, or for good if it has none.
//	expired   The next reservation in any process, or the hourly look, drops it.
package engine
