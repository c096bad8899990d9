package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/history/timeline"
)

const remoteTimeline = `query Timeline($account: ID, $customer: ID, $after: String, $filter: LifeFilter) {
	life(account: $account, customer: $customer, first: 200, after: $after, filter: $filter) {
		nodes { position type occurredAt recordedAt actor { id loginName } ip device session request reason summary data }
		pageInfo { hasNextPage endCursor } } }`

// remote asks another Annal, page by page, with the rights of a token.
func (c replayCmd) remote(ctx context.Context) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		id, err := c.remoteID(ctx)
		if err != nil {
			yield(line{}, err)
			return
		}
		variables := map[string]any{c.Kind: id, "filter": c.remoteFilter()}
		for {
			var answer struct {
				Life struct {
					Nodes    []line
					PageInfo struct {
						HasNextPage bool
						EndCursor   string
					}
				}
			}
			if err := c.ask(ctx, remoteTimeline, variables, &answer); err != nil {
				yield(line{}, err)
				return
			}
			for _, l := range answer.Life.Nodes {
				if !yield(l, nil) {
					return
				}
			}
			if !answer.Life.PageInfo.HasNextPage {
				return
			}
			variables["after"] = answer.Life.PageInfo.EndCursor
		}
	}
}

func (c replayCmd) remoteFilter() map[string]any {
	filter := make(map[string]any)
	for name, at := range map[string]time.Time{"from": c.From, "to": c.To} {
		if !at.IsZero() {
			filter[name] = at
		}
	}
	for name, s := range map[string]string{"ip": c.IP, "device": c.Device} {
		if s != "" {
			filter[name] = s
		}
	}
	for name, id := range map[string]uuid.UUID{"session": c.Session, "request": c.Request} {
		if id != uuid.Nil {
			filter[name] = id
		}
	}
	if len(c.Type) > 0 {
		filter["types"] = c.Type
	}
	return filter
}

// remoteID finds who is meant. A customer's name is the one it has now.
func (c replayCmd) remoteID(ctx context.Context) (uuid.UUID, error) {
	if id, err := uuid.Parse(c.Who); err == nil {
		return id, nil
	}
	var answer struct {
		Account   *actor
		Customers struct{ Nodes []actor }
	}
	query := `query($name: String) { account(loginName: $name) { id loginName } }`
	if c.Kind == "customer" {
		query = `query($name: String) { customers(first: 2, filter: {name: {eq: $name}}) { nodes { id } } }`
	}
	if err := c.ask(ctx, query, map[string]any{"name": c.Who}, &answer); err != nil {
		return uuid.Nil, err
	}
	found := answer.Customers.Nodes
	if answer.Account != nil {
		found = append(found, *answer.Account)
	}
	switch len(found) {
	case 0:
		return uuid.Nil, fmt.Errorf("%w: %s %q, or not for you", timeline.ErrUnknown, c.Kind, c.Who)
	case 1:
		return found[0].ID, nil
	}
	return uuid.Nil, fmt.Errorf("%w: %q; give the id", timeline.ErrAmbiguous, c.Who)
}

// ask sends one GraphQL request.
func (c replayCmd) ask(ctx context.Context, query string, variables map[string]any, into any) error {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // the server gives up after half of it
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "annal replay")
	request.Header.Set("Authorization", "Bearer "+c.Token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return err
	}
	answer := struct {
		Data   any
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}{Data: into}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("%s answers %s and no GraphQL", c.URL, response.Status)
	}
	var errs []error
	for _, e := range answer.Errors {
		errs = append(errs, fmt.Errorf("%s: %s", e.Extensions.Code, e.Message))
	}
	return errors.Join(errs...)
}
