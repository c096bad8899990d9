package domain

// Code says what kind of refusal a client has to do with. Codes are part of the API: they never change.
type Code string

const (
	CodeUnauthenticated    Code = "UNAUTHENTICATED"
	CodeForbidden          Code = "FORBIDDEN"
	CodeInvalidCredentials Code = "INVALID_CREDENTIALS"
	CodeRateLimited        Code = "RATE_LIMITED"
	CodeInvalid            Code = "INVALID"
	CodeNotFound           Code = "NOT_FOUND"
	CodeConflict           Code = "CONFLICT"
	CodeTooComplex         Code = "TOO_COMPLEX"
	CodeUnavailable        Code = "UNAVAILABLE"
	CodeInternal           Code = "INTERNAL"
)

// Refusal is an error that people meet: it says what kind it is, and in a sentence what was refused. Each one is itself
// alone to [errors.Is], whatever it says.
type Refusal struct {
	Code     Code
	Sentence string
}

// Refuse returns a new [*Refusal].
func Refuse(code Code, sentence string) error { return &Refusal{code, sentence} }

// NoSuch returns a new refusal of an id that belongs to nothing, or to nothing that the person may see: which, nobody learns.
func NoSuch() error { return Refuse(CodeNotFound, "there is no such object, or not for you") }

func (r *Refusal) Error() string { return r.Sentence }
