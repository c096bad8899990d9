package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/annal-crm/annal/domain"
)

const (
	maxBody      = 1 << 20 // of a request, and of a websocket message
	jsonType     = "application/json"
	responseType = "application/graphql-response+json"
)

// post serves one operation in a JSON body: GraphQL over HTTP, without batches, GET and uploads. gqlgen's own transport
// answers a body that it cannot read with that body; people's passwords are in there.
func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	ctx, exec := r.Context(), h.exec
	defer func() {
		if cause := recover(); cause != nil { // outside of any field
			err, _ := errors.AsType[*gqlerror.Error](exec.PresentRecoveredError(ctx, cause))
			write(w, http.StatusInternalServerError, jsonType, &graphql.Response{Errors: gqlerror.List{err}})
		}
	}()
	params, status, err := read(w, r)
	if err != nil {
		write(w, status, jsonType, exec.DispatchError(ctx, gqlerror.List{refusal(err.Error())}))
		return
	}
	contentType := jsonType
	if accepted := r.Header.Get("Accept"); accepted == responseType {
		contentType = responseType
	}
	operation, errs := exec.CreateOperationContext(ctx, params)
	observe(ctx, operation)
	if errs != nil {
		// GraphQL over HTTP: 400 is for clients that can tell our answer from a proxy's, by its media type.
		status := http.StatusOK
		if contentType == responseType {
			status = http.StatusBadRequest
		}
		write(w, status, contentType, exec.DispatchError(graphql.WithOperationContext(ctx, operation), errs))
		return
	}
	if operation.Operation.Operation == "subscription" {
		write(w, http.StatusOK, contentType, exec.DispatchError(graphql.WithOperationContext(ctx, operation),
			gqlerror.List{refusal("a subscription needs a websocket with the subprotocol " + subprotocol)}))
		return
	}
	responses, ctx := exec.DispatchOperation(ctx, operation)
	answer := responses(ctx)
	if answer == nil { // the client has gone
		return
	}
	write(w, http.StatusOK, contentType, answer)
}

func read(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, int, error) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != jsonType {
		return nil, http.StatusUnsupportedMediaType, errors.New("send the operation as " + jsonType)
	}
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0), maxBody)) + bytes.MinRead)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, http.StatusRequestEntityTooLarge, errors.New("the body is larger than 1 MiB")
		}
		return nil, http.StatusBadRequest, errors.New("the body could not be read")
	}
	text := bytes.TrimSpace(body.Bytes())
	if !utf8.Valid(text) {
		return nil, http.StatusBadRequest, errors.New("the body is not UTF-8")
	}
	if len(text) == 0 || text[0] != '{' {
		return nil, http.StatusBadRequest, errors.New(`the body is not a JSON object with "query"; several operations in an array are not taken`)
	}
	var params graphql.RawParams
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // exact to the last digit
	if err := d.Decode(&params); err != nil || d.More() {
		return nil, http.StatusBadRequest, errors.New("the body is not one JSON object as GraphQL wants it")
	}
	params.Headers = r.Header
	params.ReadTime = graphql.TraceTiming{Start: graphql.Now(), End: graphql.Now()}
	return &params, 0, nil
}

func write(w http.ResponseWriter, status int, contentType string, answer *graphql.Response) {
	var b bytes.Buffer
	if len(answer.Errors) == 0 && len(answer.Extensions) == 0 { // JSON already; encoding it once more would only scan it
		b.Grow(len(answer.Data) + len(`{"data":}`))
		b.WriteString(`{"data":`)
		b.Write(answer.Data)
		b.WriteByte('}')
	} else if err := json.NewEncoder(&b).Encode(answer); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"errors":[{"message":"the answer is not JSON","extensions":{"code":"INTERNAL"}}],"data":null}`)
	}
	w.Header().Set("Content-Type", contentType+"; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

func refusal(message string) *gqlerror.Error {
	return &gqlerror.Error{Message: message, Extensions: map[string]any{"code": domain.CodeInvalid}}
}
