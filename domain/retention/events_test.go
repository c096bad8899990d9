package retention

import (
	"testing"

	"github.com/annal-crm/annal/domain/domaintest"
)

func TestStoredForms(t *testing.T) { domaintest.StoredForms(t, Codec) }

func TestEvolveKnowsEveryEvent(t *testing.T) { domaintest.KnowsEveryEvent(t, Codec, Evolve) }
