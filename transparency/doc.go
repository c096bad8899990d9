// Package transparency lets anybody check that the log is what it was, without trusting those who run the database: a
// Merkle tree (RFC 6962) over the bytes of every event, in log order, with signed checkpoints of its root.
//
// A [Tree] is grown behind the log by a [Runner], kept in Postgres as tiles that are added to and never rewritten,
// and signed with a key from outside the database. [Tree.Prove] shows that an event is in it, [Tree.Verify] that the
// log still is what was signed. docs/audit.md says what follows from it.
//
// # Growing
//
// One process grows a tree at a time, by a lease in the row of transparency.trees (runner.go). The lease saves work,
// it does not protect the tree: each addition moves the tree from a size by compare-and-set, in one transaction with
// its tiles (grow.go). A runner that has lost the race reads where the tree is now and goes on from there.
//
// # Checkpoints
//
// A checkpoint goes through these states (checkpoint.go, publish.go):
//
//	grown       The tree has come to the head of the log.
//	checked     The tree as it lies in the database continues the last checkpoint that this process or its
//	            directory remembers, and the log still ends as the tree does. If not, nothing is signed any more:
//	            [ErrForked].
//	remembered  It is signed, and lies in the directory outside of the database before anybody sees it. So a
//	            database that is put back to an older state is noticed at the next checkpoint.
//	stored      It is a row of transparency.checkpoints. A process that is killed before this stores it at its
//	            next checkpoint.
//	cosigned    Witnesses have added their signatures; the row's note has grown by them.
//	published   It has been sent to the targets. What fails is tried again with the next checkpoint.
//
// # Witnesses
//
// A [Witness] keeps, for each log that it knows, the newest checkpoint that it has cosigned (witness.go). It cosigns
// another one if a proof shows that the new tree continues the one it has seen. A tree of the same size with another
// root, or one that does not continue it, is refused, and kept: two signed checkpoints that contradict each other
// prove a fraud. A reader of a cosigned checkpoint knows that the witness was shown the same history.
//
// # Keys
//
// A key can be replaced (replace.go, handover.go). The old key signs all there is for the last time, a handover names
// the new key and the size at which it takes over, and both keys sign the handover, if the old one was not lost.
package transparency
