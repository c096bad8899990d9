package customer

import (
	"testing"

	"github.com/annal-crm/annal/domain/domaintest"
)

func TestStoredForms(t *testing.T) { domaintest.StoredForms(t, EventTypes) }

func TestEvolveKnowsEveryEvent(t *testing.T) { domaintest.KnowsEveryEvent(t, EventTypes, Evolve) }
