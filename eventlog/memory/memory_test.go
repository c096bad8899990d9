package memory_test

import (
	"testing"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/logtest"
	"github.com/annal-crm/annal/eventlog/memory"
)

func TestContract(t *testing.T) {
	logtest.Run(t, logtest.Options{New: func(*testing.T) eventlog.Log { return memory.New() }})
}
