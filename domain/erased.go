package domain

import "github.com/google/uuid"

// ErasedType is the stored name of the event that ends a data subject, in the subject's own stream, whatever kind that is: what
// is personal in the stream before it can be opened no more, and nothing personal may follow.
const ErasedType = "subject.erased"

// Erased is the certificate of an erasure. It holds nothing personal but the reason, which people write: see docs/audit.md.
type Erased struct {
	Request     uuid.UUID `json:"request"`
	RequestedBy uuid.UUID `json:"requestedBy"`
	ApprovedBy  uuid.UUID `json:"approvedBy"`
	Reason      string    `json:"reason"`
	// Key is the SHA-256 of the key that was deleted: a key found in a backup can be compared with it. Zero: there
	// was none, or it was gone already.
	Key Hash `json:"key,omitzero"`
	// Freed are the streams of the names that nobody holds any more. Their ids are keyed hashes; the names themselves are gone.
	Freed []uuid.UUID `json:"freed,omitempty"`
	// Rule is the rule of retention that the two have proposed and approved. Zero: it was about this one subject.
	Rule uuid.UUID `json:"rule,omitzero"`
}
