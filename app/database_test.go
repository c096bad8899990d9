package app

import (
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/internal/pgtest"
)

// Whoever starts several processes on one database starts them at once.
func TestProcessesStartAtOnce(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t)
	for range 3 { // first all is made, then it is there
		var starts errgroup.Group
		for range 6 {
			starts.Go(func() error {
				_, err := migrate(t.Context(), address, false)
				return err
			})
		}
		if err := starts.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
