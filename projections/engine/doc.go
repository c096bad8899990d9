// Package projections folds the log into tables to read from, and keeps them up to date.
//
// A [ReadModel] is a fold: it declares [Table]s, says for each event which rows of them it needs (Keys), and changes
// those rows in Go, without SQL (Fold). The [Engine] brings pages of events to it, loads the rows of a page in one query
// per table, and writes what changed together with the model's checkpoint in one short transaction that only succeeds
// if the checkpoint is where the page starts: each event counts exactly once, whoever else is folding, whatever dies.
// [Engine.Rebuild] folds the whole log again beside the live tables and switches.
//
// The folders below hold one read model each: its tables, its fold, and the queries that read it.
package engine
