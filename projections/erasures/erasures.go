// Package erasures is the list of requests to erase a person, and the list of those
// who were erased: what a restored backup has to meet.
//
// It holds nothing personal. The automation that carries out what was approved
// takes its work from here.
package erasures

import (
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

var (
	schema = engine.Schema{Name: "erasures", Version: 2}

	requests = engine.NewTable[uuid.UUID, Request](schema, "requests", engine.TableConfig{Indexes: []string{
		"(organization, asked_at, id)",
		"(status) where status = 'approved'",
		"(rule) where rule is not null",
	}})
	subjects = engine.NewTable[uuid.UUID, Subject](schema, "subjects", engine.TableConfig{Indexes: []string{"(position)"}})
)

// Model folds requests and certificates.
var Model = engine.ReadModel{
	Schema: schema,
	Tables: []engine.Relation{requests, subjects},
	Events: eventcodec.Types(erasure.Requested{}, erasure.Approved{}, erasure.Refused{}, erasure.Done{}, customer.Erased{}),
	Keys: func(f *eventcodec.Event, rows *engine.Rows) error {
		if f.Stream.Category == erasure.Category {
			requests.Touch(rows, f.Stream.ID)
		} else {
			subjects.Touch(rows, f.Stream.ID)
		}
		return nil
	},
	Fold: fold,
}

// Request is a request for an erasure.
type Request struct {
	ID           uuid.UUID         `db:"id,key"`
	Organization uuid.UUID         `db:"organization"`
	Status       erasure.Status    `db:"status"`
	Category     string            `db:"category"` // of the subject's stream
	Subject      uuid.UUID         `db:"subject"`
	Reason       string            `db:"reason"`
	AskedBy      uuid.UUID         `db:"asked_by"`
	AskedAt      time.Time         `db:"asked_at"`
	DecidedBy    uuid.UUID         `db:"decided_by,null"` // zero: nobody yet
	DecidedAt    time.Time         `db:"decided_at,null"`
	Refusal      string            `db:"refusal,null"` // why it was refused
	DoneAt       time.Time         `db:"done_at,null"`
	Rule         uuid.UUID         `db:"rule,null"` // of retention; zero: none
	Version      eventlog.Version  `db:"version"`
	Position     eventlog.Position `db:"position"`
}

// Subject is somebody who was erased, with what the certificate says.
type Subject struct {
	ID           uuid.UUID         `db:"id,key"`
	Organization uuid.UUID         `db:"organization"`
	Category     string            `db:"category"`
	Request      uuid.UUID         `db:"request"`
	RequestedBy  uuid.UUID         `db:"requested_by"`
	ApprovedBy   uuid.UUID         `db:"approved_by"`
	Reason       string            `db:"reason"`
	Rule         uuid.UUID         `db:"rule,null"`
	Key          string            `db:"key_sha256,null"` // hex; see [domain.Erased]
	Freed        []uuid.UUID       `db:"freed"`
	ErasedAt     time.Time         `db:"erased_at"`
	Position     eventlog.Position `db:"position"`
}

func fold(f *eventcodec.Event, rows *engine.Rows) error {
	payload, err := f.Payload()
	if err != nil {
		return err
	}
	change := func(change func(*Request)) {
		requests.Update(rows, f.Stream.ID, func(r *Request) {
			r.Version, r.Position = f.Version, f.Position
			change(r)
		})
	}
	switch e := payload.(type) {
	case erasure.Requested:
		requests.Put(rows, Request{
			ID: f.Stream.ID, Organization: f.Stream.Organization, Status: erasure.StatusRequested, Category: e.Category, Subject: e.Subject,
			Reason: e.Reason, AskedBy: e.By, AskedAt: f.OccurredAt, Rule: e.Rule, Version: f.Version, Position: f.Position,
		})
	case erasure.Approved:
		change(func(r *Request) { r.Status, r.DecidedBy, r.DecidedAt = erasure.StatusApproved, e.By, f.OccurredAt })
	case erasure.Refused:
		change(func(r *Request) {
			r.Status, r.DecidedBy, r.DecidedAt, r.Refusal = erasure.StatusRefused, e.By, f.OccurredAt, e.Reason
		})
	case erasure.Done:
		change(func(r *Request) { r.Status, r.DoneAt = erasure.StatusDone, f.OccurredAt })
	case account.Erased:
		put(f, rows, domain.Erased(e))
	case customer.Erased:
		put(f, rows, domain.Erased(e))
	case record.Erased:
		put(f, rows, domain.Erased(e))
	}
	return nil
}

func put(f *eventcodec.Event, rows *engine.Rows, e domain.Erased) {
	s := Subject{
		ID: f.Stream.ID, Organization: f.Stream.Organization, Category: f.Stream.Category, Request: e.Request, RequestedBy: e.RequestedBy,
		ApprovedBy: e.ApprovedBy, Reason: e.Reason, Rule: e.Rule, Freed: e.Freed, ErasedAt: f.OccurredAt, Position: f.Position,
	}
	if e.Key != (domain.Hash{}) {
		s.Key = hex.EncodeToString(e.Key[:])
	}
	subjects.Put(rows, s)
}
